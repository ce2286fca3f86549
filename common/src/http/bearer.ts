import { createHash, timingSafeEqual } from 'node:crypto'

/** Whether an Authorization header carries this token; constant time in the token's content and length. */
export function bearerMatches(header: string | undefined, token: string): boolean {
  const given = header?.startsWith('Bearer ') ? header.slice(7) : ''
  return timingSafeEqual(sha256(given), sha256(token))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
