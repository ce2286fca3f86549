/** ISO 639-2 has two codes for twenty languages; players know the terminological one (639-2/T). */
const BIBLIOGRAPHIC: Record<string, string> = {
  alb: 'sqi',
  arm: 'hye',
  baq: 'eus',
  bur: 'mya',
  chi: 'zho',
  cze: 'ces',
  dut: 'nld',
  fre: 'fra',
  geo: 'kat',
  ger: 'deu',
  gre: 'ell',
  ice: 'isl',
  mac: 'mkd',
  mao: 'mri',
  may: 'msa',
  per: 'fas',
  rum: 'ron',
  slo: 'slk',
  tib: 'bod',
  wel: 'cym',
}

const UNKNOWN = 'und'

/** A source's language tag as ISO 639-2/T or BCP 47; `und` when it says nothing that is one. */
export function languageOf(tag: string | undefined): string {
  const text = (tag ?? '').trim().toLowerCase().replaceAll('_', '-')
  if (!/^[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}$/.test(text)) return UNKNOWN
  return BIBLIOGRAPHIC[text] ?? text
}

/** What viewers call a language, in that language: `fra` → `Français`. Undefined when nobody knows. */
export function languageName(language: string): string | undefined {
  if (language === UNKNOWN) return undefined
  const name = displayName(language)
  return name === undefined || name === language ? undefined : name.charAt(0).toLocaleUpperCase(language) + name.slice(1)
}

function displayName(language: string): string | undefined {
  try {
    return new Intl.DisplayNames([language, 'en'], { type: 'language', fallback: 'none' }).of(language)
  } catch (error) {
    // A tag may be well-formed by our rule and still be none to Intl (RangeError): it has no name then.
    if (error instanceof RangeError) return undefined
    throw error
  }
}
