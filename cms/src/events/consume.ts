import { setTimeout as delay } from 'node:timers/promises'
import { type JobEvent, jobEventSchema } from '@millrace/common/contracts/events'
import { EVENT_FIELD, EVENT_GROUP, EVENT_STREAM } from '@millrace/common/contracts/redis'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'
import type { Applied } from './apply.js'

/** Where entries go that no version of this service could read or apply; for a person to look at. */
export const DEAD_EVENTS = 'millrace:events:dead'
const DEAD_EVENTS_KEPT = 1000
const BLOCK_MS = 2000
const BATCH = 50
/** Entries that a consumer has held this long without an ack are another's to take: it is dead. */
const CLAIM_IDLE_MS = 60_000
const CLAIM_EVERY_MS = 30_000

type Entry = [id: string, fields: string[]]

export interface ConsumerOptions {
  /** Used for nothing else: it blocks. */
  redis: Redis
  /** Stable over restarts, so that what a killed process had in hand is read again at once. */
  consumer: string
  /** Commits before it resolves. A rejection leaves the entry pending, to be tried again, unless `isPoison` says so. */
  apply: (event: JobEvent) => Promise<Applied>
  /** Told after the commit and before the ack. */
  onApplied: (event: JobEvent, outcome: Applied) => void
  onOutcome: (outcome: Applied | 'poison' | 'retry') => void
  log: Logger
}

/** Reads the event stream as one of its consumer group: commit, then ack, then delete. */
export class EventConsumer {
  readonly #options: ConsumerOptions
  readonly #stopping = new AbortController()
  #done: Promise<void> | undefined
  #claimedAt = 0

  constructor(options: ConsumerOptions) {
    this.#options = options
  }

  start(): void {
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#options.redis.disconnect()
    await this.#done
  }

  async #run(): Promise<void> {
    const { log, onOutcome } = this.#options
    // Ours first: entries that were read before a crash, or whose commit failed.
    let own = true
    while (!this.#stopping.signal.aborted) {
      try {
        const entries: Entry[] = own ? await this.#read('0') : await this.#next()
        own = own && entries.length > 0
        for (const entry of entries) {
          if (this.#stopping.signal.aborted) return
          await this.#handle(entry)
        }
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        if ((error as Error).message.includes('NOGROUP')) {
          // First start, or Redis lost its data.
          await this.#createGroup().catch((again: Error) => log.warn({ err: again }, 'event group not created yet'))
        } else {
          onOutcome('retry')
          log.error({ err: error }, 'events not consumed; trying again')
        }
        own = true
        await delay(250, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
      }
    }
  }

  async #next(): Promise<Entry[]> {
    const now = Date.now()
    if (now - this.#claimedAt >= CLAIM_EVERY_MS) {
      this.#claimedAt = now
      const claimed = await this.#options.redis.xautoclaim(
        EVENT_STREAM,
        EVENT_GROUP,
        this.#options.consumer,
        CLAIM_IDLE_MS,
        '0',
        'COUNT',
        BATCH,
      )
      const entries = (claimed[1] ?? []) as (Entry | null)[]
      if (entries.length > 0) return entries.filter((entry) => entry !== null)
    }
    return this.#read('>')
  }

  async #read(from: '0' | '>'): Promise<Entry[]> {
    const { redis, consumer } = this.#options
    const answer = (await redis.xreadgroup(
      'GROUP',
      EVENT_GROUP,
      consumer,
      'COUNT',
      BATCH,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      EVENT_STREAM,
      from,
    )) as [string, Entry[]][] | null
    return answer?.[0]?.[1] ?? []
  }

  async #createGroup(): Promise<void> {
    await this.#options.redis.xgroup('CREATE', EVENT_STREAM, EVENT_GROUP, '0', 'MKSTREAM').catch((error: Error) => {
      if (!error.message.includes('BUSYGROUP')) throw error
    })
  }

  async #handle([id, fields]: Entry): Promise<void> {
    const { apply, onApplied, onOutcome, log } = this.#options
    const event = parse(fields)
    if (!event.ok) return this.#bury(id, fields, event.problem)
    let outcome: Applied
    try {
      outcome = await apply(event.value)
    } catch (error) {
      if (!isPoison(error)) throw error
      return this.#bury(id, fields, (error as Error).message)
    }
    onOutcome(outcome)
    onApplied(event.value, outcome)
    log.info({ event: event.value.type, videoId: event.value.videoId, rev: event.value.rev, outcome }, 'event')
    await this.#finish(id)
  }

  async #bury(id: string, fields: string[] | null, problem: string): Promise<void> {
    const { redis, log, onOutcome } = this.#options
    log.error({ id, problem }, 'an event that cannot be used was set aside')
    onOutcome('poison')
    await redis.xadd(DEAD_EVENTS, 'MAXLEN', '~', DEAD_EVENTS_KEPT, '*', 'id', id, 'problem', problem.slice(0, 1000), ...(fields ?? []))
    await this.#finish(id)
  }

  async #finish(id: string): Promise<void> {
    await this.#options.redis.multi().xack(EVENT_STREAM, EVENT_GROUP, id).xdel(EVENT_STREAM, id).exec()
  }
}

function parse(fields: string[] | null): { ok: true; value: JobEvent } | { ok: false; problem: string } {
  const at = fields?.indexOf(EVENT_FIELD) ?? -1
  const text = at < 0 ? undefined : fields?.[at + 1]
  if (text === undefined) return { ok: false, problem: `no field ${EVENT_FIELD}` }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    return { ok: false, problem: (error as Error).message }
  }
  const parsed = jobEventSchema.safeParse(json)
  if (parsed.success) return { ok: true, value: parsed.data }
  return { ok: false, problem: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') }
}

/** SQLSTATE classes 22 (data exception) and 23 (integrity): the same event would fail again for ever. */
function isPoison(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && /^2[23][0-9A-Z]{3}$/.test(code)
}
