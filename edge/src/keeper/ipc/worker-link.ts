import type { MillraceError } from '@millrace/common/errors'
import type { Fill, FillHead, Keeper, Opened } from '../contract.js'
import type { Connection } from './connection.js'
import type { HeldAnswers } from './held-answers.js'
import {
  errorMessage,
  headMessage,
  numberOfOpen,
  PROTOCOL,
  type ToKeeper,
  type ToldState,
  toKeeperSchema,
  type WorkerMessage,
} from './messages.js'
import type { FillSubscriber, WatchedFill } from './watched-fill.js'
import { badFrame, type Frame, MAX_TAIL_BYTES } from './wire.js'

/** Hashes in one frame. */
const GONE_PER_FRAME = 10_000
/** Hashes that wait for a worker that doesn't read; beyond them it forgets everything instead. */
const MAX_GONE = 100_000
/** Characters of purge lines in one frame of the snapshot, and in one turn of the loop: a millisecond or so. */
const LINES_PER_FRAME = 64_000

export interface WorkerLinkOptions {
  keeper: Keeper
  invalidate: (keys: readonly string[]) => Promise<void>
  watch: (fill: Fill) => WatchedFill
  answers: HeldAnswers
  /** The purges in force, and the number of the latest one that was told to workers. Read bit by bit, as the worker takes them. */
  snapshot: () => { lines: Iterable<string>; n: number }
  disksOut: () => readonly string[]
  onPurged: (n: number) => void
  onClose: (link: WorkerLink, error: Error | undefined) => void
}

/** The keeper's end of one worker's connection, from its hello on. */
export class WorkerLink implements FillSubscriber {
  /** As the supervisor calls it. */
  readonly worker: string
  readonly #options: WorkerLinkOptions
  readonly #connection: Connection
  readonly #joined = new Set<WatchedFill>()
  readonly #headTold = new Set<WatchedFill>()
  readonly #touched = new Set<WatchedFill>()
  #gone = new Set<string>()
  #reset = false
  #disksOut: readonly string[] | undefined
  /** What of the snapshot is still to be told. */
  #snapshot: { lines: Iterator<string>; since: string[]; n: number } | undefined

  constructor(connection: Connection, worker: string, options: WorkerLinkOptions) {
    this.worker = worker
    this.#options = options
    this.#connection = connection
    connection.handOver({
      onFrame: (frame) => this.#received(frame),
      onWrite: () => this.#tellChanges(),
      onClose: (error) => {
        for (const fill of this.#joined) fill.unsubscribe(this)
        options.answers.leave(this)
        options.onClose(this, error)
      },
    })
    this.#welcome()
  }

  purge(n: number, line: string): void {
    const snapshot = this.#snapshot
    if (snapshot) {
      // Confirming it would confirm those before it, which may still be on their way.
      snapshot.since.push(line)
      snapshot.n = n
    } else this.#tell({ t: 'purge', n, line })
  }

  gone(hashes: readonly string[]): void {
    if (this.#reset) return
    for (const hash of hashes) this.#gone.add(hash)
    if (this.#gone.size > MAX_GONE) this.reset()
    this.#connection.schedule()
  }

  reset(): void {
    this.#gone.clear()
    this.#reset = true
    this.#connection.schedule()
  }

  disksOut(paths: readonly string[]): void {
    this.#disksOut = paths
    this.#connection.schedule()
  }

  touched(fill: WatchedFill): void {
    this.#touched.add(fill)
    this.#connection.schedule()
  }

  destroy(error?: Error): void {
    this.#connection.destroy(error)
  }

  #received(frame: Frame): void {
    const parsed = toKeeperSchema.safeParse(frame.head)
    if (!parsed.success) {
      this.#refuse(frame.head, badFrame('not a message of a worker', parsed.error))
      return
    }
    this.#obey(parsed.data)
  }

  /** @throws the error itself when it concerns more than one request */
  #refuse(head: unknown, error: MillraceError): void {
    const n = numberOfOpen(head)
    if (n === undefined) throw error
    this.#tell({ t: 'refused', n, error: errorMessage(error) })
  }

  #obey(message: ToKeeper): void {
    const { keeper } = this.#options
    if (message.t === 'open') void this.#open(message)
    else if (message.t === 'prefetch') keeper.prefetch(message.request)
    else if (message.t === 'used') for (const hash of message.hashes) keeper.used(hash)
    else if (message.t === 'damaged') for (const [hash, id] of message.entries) keeper.damaged(hash, id)
    else if (message.t === 'invalidate') void this.#invalidate(message)
    else if (message.t === 'untaken') this.#options.answers.refuse(message.fill, this)
    else if (message.t === 'purged') this.#options.onPurged(message.n)
    else this.#tell({ t: 'pong' })
  }

  #welcome(): void {
    this.#tell({ t: 'welcome', protocol: PROTOCOL, disksOut: [...this.#options.disksOut()] })
    const { lines, n } = this.#options.snapshot()
    const since: string[] = []
    this.#snapshot = { lines: oneAfterOther(lines, since), since, n }
  }

  async #invalidate({ n, keys }: ToKeeper & { t: 'invalidate' }): Promise<void> {
    try {
      await this.#options.invalidate(keys)
      this.#tell({ t: 'invalidated', n })
    } catch (error) {
      this.#tell({ t: 'invalidated', n, error: errorMessage(error) })
    }
  }

  async #open({ n, request }: ToKeeper & { t: 'open' }): Promise<void> {
    let opened: Opened
    try {
      opened = await this.#options.keeper.open(request)
    } catch (error) {
      this.#tell({ t: 'refused', n, error: errorMessage(error) })
      return
    }
    if (opened.kind !== 'fill') {
      this.#tell({ t: 'opened', n, opened })
      return
    }
    const fill = this.#options.watch(opened.fill)
    if (opened.led && request.takesAnswer)
      void opened.fill.head.then(
        (head) => this.#keepAnswer(fill.id, head),
        () => undefined,
      )
    this.#tell({ t: 'opened', n, opened: { kind: 'fill', fill: fill.id, led: opened.led } })
    if (this.#joined.has(fill)) return
    this.#joined.add(fill)
    fill.subscribe(this)
  }

  /** For the request that led to it. Before the head is told. */
  #keepAnswer(fill: number, head: FillHead): void {
    if (head.kind !== 'pass' || !head.answer) return
    if (this.#connection.closed) head.answer.discard()
    else this.#options.answers.keep(fill, head.answer, { owner: this, worker: this.worker })
  }

  /** What is gone is told before anything that may make the worker look again. */
  #tell(message: WorkerMessage, tail?: Uint8Array): void {
    this.#tellGone()
    this.#connection.send(message, tail)
  }

  #tellGone(): void {
    if (this.#reset) {
      this.#reset = false
      this.#connection.send({ t: 'reset' })
    }
    if (this.#gone.size === 0) return
    const hashes = [...this.#gone]
    this.#gone.clear()
    for (let at = 0; at < hashes.length; at += GONE_PER_FRAME) {
      this.#connection.send({ t: 'gone', hashes: hashes.slice(at, at + GONE_PER_FRAME) })
    }
  }

  /** Once per turn of the loop, and only while the worker reads: in between only the latest state of each thing is kept. */
  #tellChanges(): void {
    if (this.#connection.backedUp) return
    this.#tellGone()
    if (this.#snapshot) this.#tellPurges(this.#snapshot)
    if (this.#disksOut) {
      this.#tell({ t: 'disks-out', paths: [...this.#disksOut] })
      this.#disksOut = undefined
    }
    const growth: [number, number, ToldState][] = []
    for (const watched of this.#touched) {
      if (this.#connection.backedUp) break
      this.#touched.delete(watched)
      const { head, id, told } = watched
      if (!head || !this.#joined.has(watched)) continue
      const { available } = watched.fill
      if (this.#headTold.has(watched)) growth.push([id, available, told])
      else {
        this.#headTold.add(watched)
        const first = head.kind === 'ready' && head.first.length <= MAX_TAIL_BYTES ? head.first : undefined
        this.#tell({ t: 'head', fill: id, head: headMessage(head, this.#options.answers.has(id, this)), available, state: told }, first)
      }
      if (told !== 'running') this.#leave(watched)
    }
    if (growth.length > 0) this.#tell({ t: 'growth', fills: growth })
  }

  #tellPurges({ lines, n }: { lines: Iterator<string>; n: number }): void {
    const part: string[] = []
    for (let length = 0; length < LINES_PER_FRAME; length += part.at(-1)!.length) {
      const next = lines.next()
      if (next.done) {
        this.#snapshot = undefined
        this.#tell({ t: 'purges', lines: part, n })
        return
      }
      part.push(next.value)
    }
    this.#tell({ t: 'purges', lines: part })
    this.#connection.schedule()
  }

  #leave(fill: WatchedFill): void {
    this.#joined.delete(fill)
    this.#headTold.delete(fill)
    fill.unsubscribe(this)
  }
}

function* oneAfterOther(first: Iterable<string>, second: Iterable<string>): Generator<string, void> {
  yield* first
  yield* second
}
