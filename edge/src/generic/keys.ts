import { type EntryMeta, type HeaderField, headerOf } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import { variantKey, variantText, varyNames } from '../cache/vary.js'

/** What an entry's head can hold beside the fields. */
const MAX_TEXT = 2000

/** The key of a resource, which is that of its response too as long as it doesn't vary. @returns undefined for a URL too long to be kept */
export function genericKey(origin: string, target: string): CacheKey | undefined {
  const text = `${origin} ${target}`
  return text.length > MAX_TEXT ? undefined : cacheKey(text)
}

/** The key of the variant that a request selects. @returns undefined when what selects it is too long */
export function selectedKey(
  base: CacheKey,
  marker: Pick<EntryMeta, 'id' | 'varies'>,
  fields: readonly HeaderField[],
): CacheKey | undefined {
  const text = variantText(marker.varies ?? [], fields)
  return text === undefined ? undefined : variantKey(base, marker.id, text)
}

/** The resource's own key text of any of its keys: what is purged or invalidated under it takes all variants with it. */
export function resourceText(keyText: string): string {
  const end = keyText.indexOf(' ', keyText.indexOf(' ') + 1)
  return end < 0 ? keyText : keyText.slice(0, end)
}

/** Whether an entry without `varies`, found under a resource's own key, is the response for every request. */
export function servesEverybody(meta: Pick<EntryMeta, 'headers'>): boolean {
  return varyNames(headerOf(meta, 'vary'))?.length === 0
}
