/** Status codes whose meaning for caching this edge knows (RFC 9110 §15, RFC 7725, 8297, 8470). */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415,
  417, 421, 422, 425, 426, 451,
])

/** RFC 9110 §15.1: "heuristically cacheable", without 206 and 501, which are never stored here. */
const HEURISTIC: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414])

/**
 * Never stored: a part (206) and a confirmation (304) are not whole responses (RFC 9111 §3.3, §3); 416 answers a Range; RFC 6585 §3–§5 says
 * of 428, 429 and 431 "MUST NOT be stored by a cache".
 */
const NEVER: ReadonlySet<number> = new Set([206, 304, 416, 428, 429, 431])

export function understood(status: number): boolean {
  return UNDERSTOOD.has(status)
}

/** Whether it may be stored though the origin gave no lifetime and no leave: to be revalidated at each use. */
export function heuristicallyCacheable(status: number): boolean {
  return HEURISTIC.has(status)
}

/**
 * RFC 9111 §3: "the response status code is final"; one that isn't known may be stored unless `must-understand` is present. Errors of the
 * origin (5xx) are not stored, whatever they say of themselves: one bad moment must not outlive itself.
 */
export function storableStatus(status: number): boolean {
  return status >= 200 && status < 500 && !NEVER.has(status)
}
