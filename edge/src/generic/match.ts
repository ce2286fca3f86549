import type { GenericPath } from './config.js'

/** Far above what browsers and origins take. */
const MAX_TARGET = 8192

/** The path whose prefix is the longest that fits: whole path segments, so that `/app` is not `/apple`. */
export function matchPath(paths: readonly GenericPath[], path: string): GenericPath | undefined {
  let best: GenericPath | undefined
  for (const candidate of paths) {
    if (isBelow(path, candidate.prefix) && (best === undefined || candidate.prefix.length > best.prefix.length)) best = candidate
  }
  return best
}

/**
 * Why a request target cannot be forwarded as it came. Nothing is normalised: what the client sent is the key and what the origin sees.
 * Refused are bytes that no URI has (an origin might end the line there, or take `\` for `/`), and dot segments that lead out of the
 * prefix, which the origin would resolve (RFC 3986 §5.2.4).
 */
export function targetProblem(path: string, query: string, prefix: string): 'too-long' | 'bad-path' | undefined {
  if (path.length + query.length > MAX_TARGET) return 'too-long'
  if (/[^\x21-\x7e]|[#\\]/.test(path + query) || !path.startsWith('/') || path.includes('?')) return 'bad-path'
  // An origin may take an encoded slash for one, or not: the path must stay below the prefix either way.
  const plain = path.replaceAll(/%2e/gi, '.')
  return staysBelow(plain, prefix) && staysBelow(plain.replaceAll(/%2f|%5c/gi, '/'), prefix) ? undefined : 'bad-path'
}

function isBelow(path: string, prefix: string): boolean {
  return prefix === '/' || path === prefix || path.startsWith(`${prefix}/`)
}

/** Whether no `..` climbs out, not even on the way. Empty segments don't count: an origin may merge slashes. */
function staysBelow(path: string, prefix: string): boolean {
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') {
      segments.pop()
      if (!isBelow(`/${segments.join('/')}`, prefix)) return false
    } else if (segment !== '.' && segment !== '') segments.push(segment)
  }
  return isBelow(`/${segments.join('/')}`, prefix)
}
