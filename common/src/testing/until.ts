import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits until `probe` gives something other than undefined and false. For states that announce no event (a port, a file, another
 * process's answer); asks often, ends as soon as it holds, and names what it waited for when it gives up.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
): Promise<T> {
  const end = Date.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${what}${last ? ` (${(last as Error).message})` : ''}`)
    await delay(25)
  }
}
