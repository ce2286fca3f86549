const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const LONG_DAY = '(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day'
const MONTH = '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
const TIME = '(\\d{2}):(\\d{2}):(\\d{2})'

// Case doesn't matter here: HTTP-date is case-sensitive by the RFC, but nothing else could be meant.
const IMF_FIXDATE = new RegExp(`^${DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${TIME} GMT$`, 'i')
const RFC_850 = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${TIME} GMT$`, 'i')
const ASCTIME = new RegExp(`^${DAY} ${MONTH} (\\d{2}| \\d) ${TIME} (\\d{4})$`, 'i')

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/**
 * RFC 9110 §5.6.7: "A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date formats", and here nothing
 * else: `Date.parse` also takes time zones, missing commas and two-digit years, and guesses.
 *
 * @param now Unix milliseconds; only the two-digit year of the RFC 850 format depends on it
 * @returns Unix milliseconds; undefined for what is not an HTTP-date, or no day of any calendar
 */
export function parseHttpDate(text: string, now: number = Date.now()): number | undefined {
  const fix = IMF_FIXDATE.exec(text)
  if (fix) return utc(fix[3]!, fix[2]!, fix[1]!, fix[4]!, fix[5]!, fix[6]!)
  const asctime = ASCTIME.exec(text)
  if (asctime) return utc(asctime[6]!, asctime[1]!, asctime[2]!, asctime[3]!, asctime[4]!, asctime[5]!)
  const old = RFC_850.exec(text)
  if (!old) return undefined
  return utc(String(fullYear(Number(old[3]), now)), old[2]!, old[1]!, old[4]!, old[5]!, old[6]!)
}

/** In the preferred format. */
export function formatHttpDate(at: number): string {
  return new Date(at).toUTCString()
}

/**
 * §5.6.7: "Recipients of a timestamp value in rfc850-date format, which uses a two-digit year, MUST interpret a timestamp that appears to
 * be more than 50 years in the future as representing the most recent year in the past that had the same last two digits."
 */
function fullYear(twoDigits: number, now: number): number {
  const current = new Date(now).getUTCFullYear()
  const year = current - (current % 100) + twoDigits
  return year > current + 50 ? year - 100 : year
}

function utc(year: string, month: string, day: string, hour: string, minute: string, second: string): number | undefined {
  const monthIndex = MONTHS.indexOf(month.toLowerCase())
  // A leap second is the next minute's first.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined
  const date = new Date(0)
  date.setUTCFullYear(Number(year), monthIndex, Number(day))
  if (date.getUTCMonth() !== monthIndex || date.getUTCDate() !== Number(day)) return undefined
  return date.setUTCHours(Number(hour), Number(minute), Number(second))
}
