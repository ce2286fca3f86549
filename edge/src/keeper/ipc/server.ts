import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import type { Fill, Keeper, KeeperListener } from '../contract.js'
import { PurgeRound, type PurgeTimes } from './purge-round.js'
import { WatchedFill } from './watched-fill.js'
import { WorkerLink } from './worker-link.js'

export interface KeeperServerOptions {
  keeper: Keeper
  /** Of the unix socket. What lies there is a predecessor's. */
  path: string
  /** Purges exact keys for a worker; resolves when every worker has it. */
  invalidate?: (keys: readonly string[]) => Promise<void>
  /** Every purge in force, as lines for `PurgeListener.restore`: read bit by bit. */
  purges: () => Iterable<string>
  times?: PurgeTimes
  /** Workers that didn't confirm a purge in time, by the names they said: the supervisor kills them. */
  onLate: (workers: string[]) => void
  /** A connection that broke, a fill that failed in an unforeseen way. */
  onFault: (error: Error) => void
}

const DEFAULT_TIMES: PurgeTimes = { lateMs: 2500, timeoutMs: 5000 }

/** Serves one keeper to the workers in other processes. A `KeeperListener`, so that whatever the keeper tells goes to each of them. */
export class KeeperServer implements KeeperListener {
  readonly #options: KeeperServerOptions
  readonly #server: Server
  readonly #links = new Set<WorkerLink>()
  readonly #fills = new Map<Fill, WatchedFill>()
  readonly #rounds = new Set<PurgeRound>()
  #lastFill = 0
  #lastPurge = 0
  #disksOut: readonly string[] = []
  /** By the supervisor; undefined: whoever is connected. */
  #living: ReadonlySet<string> | undefined

  private constructor(options: KeeperServerOptions) {
    this.#options = options
    this.#server = createServer((socket) => {
      const link = new WorkerLink(socket, {
        keeper: options.keeper,
        invalidate: async (keys) => options.invalidate?.(keys),
        watch: ({ fill }) => this.#watch(fill),
        snapshot: () => ({ lines: options.purges(), n: this.#lastPurge }),
        disksOut: () => this.#disksOut,
        onHello: (greeted) => this.#greeted(greeted),
        onPurged: (confirming, n) => {
          for (const round of this.#rounds) if (round.n <= n && confirming.worker) round.confirmed(confirming.worker)
        },
        onClose: (closed, error) => this.#closed(closed, error),
      })
      this.#links.add(link)
    })
  }

  static async listen(options: KeeperServerOptions): Promise<KeeperServer> {
    await rm(options.path, { force: true })
    const keeper = new KeeperServer(options)
    await new Promise<void>((resolve, reject) => {
      keeper.#server.once('error', reject)
      keeper.#server.listen(options.path, resolve)
    })
    return keeper
  }

  /** Workers that are connected. */
  get workers(): string[] {
    const names: string[] = []
    for (const { worker } of this.#links) if (worker !== undefined) names.push(worker)
    return names
  }

  get watchedFills(): number {
    return this.#fills.size
  }

  /** Which worker processes live: also one that is not connected just now serves from its memory, so a purge waits for it. */
  setWorkers(living: readonly string[]): void {
    this.#living = new Set(living)
    const connected = new Set(this.workers)
    for (const round of this.#rounds) {
      for (const worker of round.waitsFor()) if (!this.#living.has(worker) && !connected.has(worker)) round.died(worker)
    }
  }

  /**
   * Tells every worker of a purge that is in force here already, so that a worker that connects meanwhile finds it in its snapshot.
   *
   * @returns how many workers have it: all that live
   * @throws MillraceError `purge-incomplete` (503) when one neither confirms nor dies in time
   */
  async broadcastPurge(line: string): Promise<number> {
    const n = ++this.#lastPurge
    const round = new PurgeRound(n, [...this.workers, ...(this.#living ?? [])], this.#options.times ?? DEFAULT_TIMES, this.#options.onLate)
    this.#rounds.add(round)
    for (const link of this.#links) if (link.worker !== undefined) link.purge(n, line)
    try {
      return await round.done
    } finally {
      this.#rounds.delete(round)
      round.end()
    }
  }

  gone(hashes: readonly string[]): void {
    for (const link of this.#links) if (link.worker !== undefined) link.gone(hashes)
  }

  disksOut(paths: readonly string[]): void {
    this.#disksOut = paths
    for (const link of this.#links) if (link.worker !== undefined) link.disksOut(paths)
  }

  reset(): void {
    for (const link of this.#links) if (link.worker !== undefined) link.reset()
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const link of this.#links) link.destroy()
    await closed
  }

  #watch(fill: Fill): WatchedFill {
    let watched = this.#fills.get(fill)
    if (!watched) {
      watched = new WatchedFill(++this.#lastFill, fill)
      this.#fills.set(fill, watched)
      watched
        .watch()
        .catch(this.#options.onFault)
        .finally(() => this.#fills.delete(fill))
    }
    return watched
  }

  /** A worker has one connection: what is left of an older one was given up by it. */
  #greeted(link: WorkerLink): void {
    for (const other of this.#links) if (other !== link && other.worker === link.worker) other.destroy()
  }

  #closed(link: WorkerLink, error: Error | undefined): void {
    this.#links.delete(link)
    if (error) this.#options.onFault(error)
    const { worker } = link
    if (worker === undefined || this.#living?.has(worker) || this.workers.includes(worker)) return
    for (const round of this.#rounds) round.died(worker)
  }
}
