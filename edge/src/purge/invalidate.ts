import { type CarryOutOptions, carryOut } from './carry-out.js'

export interface InvalidateOptions extends CarryOutOptions {
  /** Whether anything of this resource is stored, or on its way into the store. */
  mayServe: (keyText: string) => boolean
}

/**
 * Makes what is stored of resources unusable after an unsafe request (RFC 9111 §4.4). Where there is nothing, nothing is written down:
 * most unsafe requests are to URLs whose answers are never stored, and must not wait for a disk.
 *
 * @param keyTexts the resources' own keys, in generic mode
 * @throws MillraceError the first one of `carryOut`; all keys were tried
 */
export async function invalidate(keyTexts: readonly string[], { mayServe, ...options }: InvalidateOptions): Promise<void> {
  const found = keyTexts.filter(mayServe)
  const done = await Promise.allSettled(found.map((key) => carryOut({ scope: 'url', key }, options)))
  for (const outcome of done) if (outcome.status === 'rejected') throw outcome.reason
}
