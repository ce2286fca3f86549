/**
 * Directive names in lower case to their arguments, unquoted; '' for none. The first of a repeated directive counts: RFC 9111 §4.2.1 allows
 * "either the first occurrence should be used or the response should be considered stale". Whatever stands around directives is skipped, so
 * that a no-store is found in any rubbish.
 */
export type CacheControl = ReadonlyMap<string, string>

export function parseCacheControl(text: string | undefined): CacheControl {
  const directives = new Map<string, string>()
  if (text === undefined) return directives
  // §5.2: `token [ "=" ( token / quoted-string ) ]`, no white space around `=`; "recipients ought to accept both forms" of an argument.
  for (const [, name, quoted, token] of text.matchAll(/([!#$%&'*+.^_`|~\w-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,;]*)))?/g)) {
    const key = name!.toLowerCase()
    if (!directives.has(key)) directives.set(key, quoted ?? token ?? '')
  }
  return directives
}

/** RFC 9111 §1.2.2: digits; what overflows is taken as 2^31. @returns seconds */
export function parseDeltaSeconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined
  return Math.min(Number(text), 2 ** 31)
}
