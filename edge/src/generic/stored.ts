import type { BodyReader } from '../cache/body.js'
import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import { servesOnError } from '../cache/serving.js'
import type { CacheStatusDetails } from '../http/cache-status.js'
import type { Decision } from '../phase.js'
import { answerStored } from './answer.js'
import type { GenericDependencies, GenericRun, StoredEntry } from './contract.js'
import { selectedKey, servesEverybody } from './keys.js'
import type { LookupPlan } from './plan.js'

/** What is stored for a request; without a key when it can't be told which variant it would be. Whoever gets an entry closes it. */
export interface FoundEntry {
  key: CacheKey | undefined
  entry: StoredEntry | undefined
}

export async function findEntry(
  entries: GenericDependencies['entries'],
  base: CacheKey,
  fields: readonly HeaderField[],
): Promise<FoundEntry> {
  const entry = await entries.open(base)
  if (entry === undefined) return { key: base, entry }
  if (entry.meta.varies === undefined) {
    if (servesEverybody(entry.meta)) return { key: base, entry }
    entry.body.close()
    return { key: undefined, entry: undefined }
  }
  const key = selectedKey(base, entry.meta, fields)
  entry.body.close()
  return { key, entry: key && (await openResponse(entries, key)) }
}

/** Never a marker: it says by what a resource varies, and is no response. */
async function openResponse(entries: GenericDependencies['entries'], key: CacheKey): Promise<StoredEntry | undefined> {
  const entry = await entries.open(key)
  if (entry?.meta.varies === undefined) return entry
  entry.body.close()
  return undefined
}

/** Answers with a response of the cache, or one on its way into it. */
export async function answerFrom(
  run: GenericRun,
  planned: LookupPlan,
  response: { meta: FillMeta; body: BodyReader; decision: Decision; details: CacheStatusDetails },
): Promise<Decision> {
  const { exchange, deps } = run
  const { meta, body, decision, details } = response
  try {
    const said = { edgeId: deps.edgeId, decision, details }
    await answerStored(exchange, { meta, body, fields: planned.fields, said, now: deps.now(), sending: deps.sending(exchange) })
    return decision
  } finally {
    body.close()
  }
}

/**
 * RFC 5861 §4, and only as far as the origin allowed it; never to a request that insists on its origin (RFC 9111 §5.2.1.4).
 *
 * @param fwdStatus of the origin's answer, where it gave one
 * @returns undefined when nothing may stand in
 */
export async function answerOnError(
  run: GenericRun,
  planned: LookupPlan,
  key: CacheKey,
  fwdStatus: number | undefined,
): Promise<Decision | undefined> {
  if (planned.directives.noCache) return undefined
  const { deps } = run
  const entry = await openResponse(deps.entries, key)
  if (!entry) return undefined
  const { meta, body, tier } = entry
  const now = deps.now()
  if (!mayStandIn(meta, now)) {
    body.close()
    return undefined
  }
  const decision: Decision = { phase: 'stale', class: 'generic', tier, origin: meta.origin }
  const details = { fwd: 'stale' as const, ttlMs: meta.freshUntil - now, ...(fwdStatus !== undefined && { fwdStatus }) }
  return answerFrom(run, planned, { meta, body, decision, details })
}

/** A fresh one counts only where its origin speaks of errors at all: a request that wants a fresher one gets what the origin says. */
function mayStandIn(meta: EntryMeta, now: number): boolean {
  return meta.staleIfError > 0 && servesOnError(meta, now)
}
