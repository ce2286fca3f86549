/** What a client may choose: long enough to be told apart, nothing that a log or a header would have to escape. */
const GIVEN = /^[A-Za-z0-9._-]{8,64}$/

/**
 * A request's id: the client's own where it is fit, else a new one: unique by the process's prefix and a number, which costs no
 * randomness per request. It identifies, it doesn't authorise: nothing is to be guessed from it.
 *
 * @param prefix differs from process to process and from start to start, such as 8 random hex digits; at least 7 characters of `[A-Za-z0-9._]`
 */
export function requestIds(prefix: string): (given: string | undefined) => string {
  let count = 0
  return (given) => (given !== undefined && GIVEN.test(given) ? given : `${prefix}-${(count++).toString(36)}`)
}

/** W3C Trace Context §3.2: `version "-" trace-id "-" parent-id "-" trace-flags`; a later version may go on behind another dash. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]{0,64})?$/
const ZEROS = /^0+$/

/** @returns the value to pass on; undefined when it is invalid, which the origin then never sees. */
export function traceparentOf(given: string | undefined): string | undefined {
  const match = given === undefined ? null : TRACEPARENT.exec(given)
  if (!match) return undefined
  const [whole, version, trace, parent, more] = match
  // "Version ff is invalid"; "All bytes as zero is considered an invalid value", for both ids.
  if (version === 'ff' || ZEROS.test(trace!) || ZEROS.test(parent!)) return undefined
  return version === '00' && more !== undefined ? undefined : whole
}
