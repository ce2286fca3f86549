import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BodyReader } from '../src/cache/body.js'
import { type CacheKey, cacheKey } from '../src/cache/key.js'
import type { FillRequest, Keeper, MissCause } from '../src/keeper/contract.js'
import { FillFiles } from '../src/keeper/fill-files.js'
import type { FillOutcome } from '../src/keeper/fill-outcome.js'
import { type Found, find } from '../src/keeper/find.js'
import { LocalKeeper, type LocalKeeperDependencies, type LocalKeeperOptions } from '../src/keeper/local-keeper.js'
import type { PrefetchOutcome } from '../src/keeper/prefetch-budget.js'
import { SimpleOrigins } from './keeper-origins.js'
import { simplePolicy, simpleVariants } from './keeper-policy.js'
import { FolderStore } from './keeper-store.js'
import type { TestOrigin } from './origin.js'

type Stored = NonNullable<Awaited<ReturnType<FolderStore['open']>>>

export interface Ended {
  outcome: FillOutcome
  bytes: number
  cause: MissCause
}

export interface TestKeeper {
  keeper: LocalKeeper
  folder: string
  store: FolderStore
  files: FillFiles
  /** Moves the clock of lifetimes. */
  advance: (ms: number) => void
  /** A purge of everything. */
  purge: () => void
  /** As a video that was deleted for good. */
  block: (videoId: string) => void
  ended: Ended[]
  prefetches: PrefetchOutcome[]
  faults: string[]
  request: (path: string, order?: string[]) => FillRequest
  find: (path: string, order?: string[], keeper?: Keeper) => Promise<Found<Stored>>
  /** Finds and reads to the end. */
  get: (path: string, order?: string[]) => Promise<Answer>
  /** Names in the folder of running fills. */
  tmp: () => Promise<string[]>
  close: () => Promise<void>
}

export interface Answer {
  kind: string
  body: Buffer
}

/** A keeper over real files and real origins `o1`, `o2` …, with a clock that a test moves. */
export async function startKeeper(
  origins: TestOrigin[],
  options: Partial<LocalKeeperOptions & { maxObject: number; folder: string }> = {},
): Promise<TestKeeper> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'millrace-keeper-')))
  const store = new FolderStore(folder)
  const group = new SimpleOrigins(Object.fromEntries(origins.map((origin, index) => [`o${index + 1}`, origin.url])))
  const stop = new AbortController()
  let now = Date.now()
  let generation = 0
  const blocked = new Set<string>()
  const ended: Ended[] = []
  const prefetches: PrefetchOutcome[] = []
  const faults: string[] = []
  const dependencies: LocalKeeperDependencies = {
    origins: group,
    store,
    policy: simplePolicy,
    variants: simpleVariants,
    stale: { whileRevalidate: 0, ifError: 0 },
    purges: {
      get generation() {
        return generation
      },
      covers: (entry) => entry.generation < generation,
      blocks: (videoId) => blocked.has(videoId),
    },
    fits: () => true,
    maxObject: options.maxObject ?? 8 << 20,
    now: () => now,
    signal: stop.signal,
    onFault: (operation, error) => faults.push(`${operation}: ${(error as Error).message}`),
  }
  const keeper = new LocalKeeper(dependencies, {
    maxFills: 64,
    maxWaiters: 10_000,
    lockTimeoutMs: 60_000,
    negativeTtlMs: 2000,
    memoryBytes: 64 << 20,
    prefetch: { maxConcurrent: 2, bytesPerSecond: 1 << 20 },
    onFillEnded: (outcome, _ms, bytes, cause) => ended.push({ outcome, bytes, cause }),
    onPrefetch: (outcome) => prefetches.push(outcome),
    ...options,
  })
  const files = new FillFiles()
  const known = origins.map((_origin, index) => `o${index + 1}`)
  const test: TestKeeper = {
    keeper,
    folder,
    store,
    files,
    advance: (ms) => {
      now += ms
    },
    purge: () => {
      generation++
    },
    block: (videoId) => {
      generation++
      blocked.add(videoId)
    },
    ended,
    prefetches,
    faults,
    request: (path, order = known) => ({ key: cacheKey(path), order, upstream: { mode: 'media', path } }),
    find: (path, order, from = keeper) => findIn(from, test, test.request(path, order)),
    get: async (path, order) => {
      const found = await test.find(path, order)
      if (found.kind === 'stored') {
        const body = await readAll(found.entry.body)
        return { kind: found.revalidated ? 'revalidated' : 'hit', body }
      }
      if (found.kind !== 'body') return { kind: found.kind, body: Buffer.alloc(0) }
      return { kind: found.led ? 'miss' : 'coalesced', body: await readAll(found.body) }
    },
    tmp: async () => {
      const names = await readdir(folder)
      return names.includes('tmp') ? readdir(join(folder, 'tmp')) : []
    },
    close: async () => {
      stop.abort()
      await keeper.idle()
      await group.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return test
}

export function findIn(
  keeper: Keeper,
  { store, files }: Pick<TestKeeper, 'store' | 'files'>,
  request: FillRequest,
): Promise<Found<Stored>> {
  const key: CacheKey = request.key
  return find(keeper, request, {
    files,
    openStored: () => store.open(key),
    openFinal: async (id) => (await store.open(key, id))?.body,
  })
}

export async function readAll(body: BodyReader, from = 0, end = Number.MAX_SAFE_INTEGER, buffer = Buffer.alloc(1 << 18)): Promise<Buffer> {
  const parts: Buffer[] = []
  try {
    for (let at = from; at < end; ) {
      const view = await body.read(buffer, at, end)
      if (view.length === 0) break
      parts.push(Buffer.from(view))
      at += view.length
    }
    return Buffer.concat(parts)
  } finally {
    body.close()
  }
}
