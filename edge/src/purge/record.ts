import { revSchema, videoIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'

/** Above 0, so that an entry of generation 0 is older than any purge. */
const number = z.int().positive()

/** `CacheKey.text` of a resource; its variants go with it. */
const keyText = z.string().min(1).max(2500)

/** One purge, as it is kept, written to disk and told to workers. `n` grows with every purge and is never used twice. */
export const purgeRecordSchema = z.discriminatedUnion('scope', [
  z.strictObject({ n: number, scope: z.literal('all') }),
  z.strictObject({ n: number, scope: z.literal('video'), videoId: videoIdSchema, block: z.boolean() }),
  z.strictObject({ n: number, scope: z.literal('revision'), videoId: videoIdSchema, rev: revSchema }),
  z.strictObject({ n: number, scope: z.literal('url'), key: keyText }),
  /** Everything stored in generic mode: what became of more records of URLs than are kept. */
  z.strictObject({ n: number, scope: z.literal('generic') }),
])
export type PurgeRecord = z.infer<typeof purgeRecordSchema>

/** What can be asked for: a purge before it has its number, also from another process. */
export const purgeScopeSchema = z.discriminatedUnion('scope', [
  z.strictObject({ scope: z.literal('all') }),
  z.strictObject({ scope: z.literal('video'), videoId: videoIdSchema, block: z.boolean() }),
  z.strictObject({ scope: z.literal('revision'), videoId: videoIdSchema, rev: revSchema }),
  z.strictObject({ scope: z.literal('url'), key: keyText }),
])

export type PurgeScope = z.infer<typeof purgeScopeSchema>

/** A metrics label. */
export const PURGE_SCOPES = ['all', 'video', 'revision', 'url'] as const

export function formatRecord(record: PurgeRecord): string {
  return JSON.stringify(record)
}

/** @returns undefined for anything but one whole record. */
export function parseRecord(line: string): PurgeRecord | undefined {
  let raw: unknown
  try {
    raw = JSON.parse(line)
  } catch {
    return undefined
  }
  return purgeRecordSchema.safeParse(raw).data
}
