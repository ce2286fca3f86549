import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import type { Fill, Keeper, KeeperListener } from '../contract.js'
import { Connection } from './connection.js'
import { HeldAnswers } from './held-answers.js'
import { greetingSchema, PROTOCOL } from './messages.js'
import { PurgeRound, type PurgeTimes } from './purge-round.js'
import { sendAnswer } from './send-answer.js'
import { WatchedFill } from './watched-fill.js'
import { badFrame, type Frame } from './wire.js'
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
  /** How long an answer that is not to be stored is kept for who led to it, in milliseconds. */
  heldMs?: number
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
  readonly #connections = new Set<Connection>()
  readonly #links = new Set<WorkerLink>()
  readonly #answers: HeldAnswers
  readonly #fills = new Map<Fill, WatchedFill>()
  readonly #rounds = new Set<PurgeRound>()
  #lastFill = 0
  #lastPurge = 0
  #disksOut: readonly string[] = []
  /** By the supervisor; undefined: whoever is connected. */
  #living: ReadonlySet<string> | undefined

  private constructor(options: KeeperServerOptions) {
    this.#options = options
    this.#answers = new HeldAnswers(options.heldMs)
    this.#server = createServer((socket) => {
      const connection: Connection = new Connection(
        socket,
        { onFrame: (frame) => this.#greeted(connection, frame), onClose: (error) => error && options.onFault(error) },
        true,
      )
      this.#connections.add(connection)
      socket.on('close', () => this.#connections.delete(connection))
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
    return [...this.#links].map(({ worker }) => worker)
  }

  get watchedFills(): number {
    return this.#fills.size
  }

  /** Answers that wait to be taken. */
  get heldAnswers(): number {
    return this.#answers.size
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
    for (const link of this.#links) link.purge(n, line)
    try {
      return await round.done
    } finally {
      this.#rounds.delete(round)
      round.end()
    }
  }

  gone(hashes: readonly string[]): void {
    for (const link of this.#links) link.gone(hashes)
  }

  disksOut(paths: readonly string[]): void {
    this.#disksOut = paths
    for (const link of this.#links) link.disksOut(paths)
  }

  reset(): void {
    for (const link of this.#links) link.reset()
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections) connection.destroy()
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

  #greeted(connection: Connection, { head }: Frame): void {
    const parsed = greetingSchema.safeParse(head)
    if (!parsed.success) throw badFrame('neither hello nor take', parsed.error)
    const greeting = parsed.data
    const { protocol, worker } = greeting
    if (protocol !== PROTOCOL) throw badFrame(`worker ${worker} speaks protocol ${protocol}, this keeper ${PROTOCOL}`)
    if (greeting.t === 'hello') this.#serve(connection, worker)
    else void sendAnswer(connection, this.#answers.take(greeting.fill, worker))
  }

  #serve(connection: Connection, worker: string): void {
    const { keeper, invalidate, purges } = this.#options
    const link = new WorkerLink(connection, worker, {
      keeper,
      invalidate: async (keys) => invalidate?.(keys),
      watch: (fill) => this.#watch(fill),
      answers: this.#answers,
      snapshot: () => ({ lines: purges(), n: this.#lastPurge }),
      disksOut: () => this.#disksOut,
      onPurged: (n) => {
        for (const round of this.#rounds) if (round.n <= n) round.confirmed(worker)
      },
      onClose: (closed, error) => this.#closed(closed, error),
    })
    this.#links.add(link)
    // A worker has one connection: what is left of an older one was given up by it.
    for (const other of this.#links) if (other !== link && other.worker === worker) other.destroy()
  }

  #closed(link: WorkerLink, error: Error | undefined): void {
    this.#links.delete(link)
    if (error) this.#options.onFault(error)
    const { worker } = link
    if (this.#living?.has(worker) || this.workers.includes(worker)) return
    for (const round of this.#rounds) round.died(worker)
  }
}
