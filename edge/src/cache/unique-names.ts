import { randomBytes } from 'node:crypto'

const COUNTER_DIGITS = 6

/**
 * Names that are never given twice, by this process or another one: random digits of the process, then a number. Random digits for each
 * would cost more than all else that making a name takes.
 *
 * @param digits of a name, hexadecimal, at least 12
 */
export function uniqueNames(digits: number): () => string {
  const fresh = () =>
    randomBytes(Math.ceil(digits / 2))
      .toString('hex')
      .slice(0, digits - COUNTER_DIGITS)
  let prefix = fresh()
  let count = 0
  return () => {
    if (count === 16 ** COUNTER_DIGITS) {
      prefix = fresh()
      count = 0
    }
    return prefix + (count++).toString(16).padStart(COUNTER_DIGITS, '0')
  }
}
