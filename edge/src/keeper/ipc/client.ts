import { MillraceError } from '@millrace/common/errors'
import type { OriginAnswer } from '../../origin/contract.js'
import type { FillRequest, Keeper, KeeperListener, Opened } from '../contract.js'
import { KeeperLink } from './keeper-link.js'
import { type AnswerMessage, canCross, errorFrom, headFrom, PROTOCOL, type ToldState, type ToWorker } from './messages.js'
import { remoteAnswer } from './remote-answer.js'
import { RemoteFill } from './remote-fill.js'
import { Reports } from './reports.js'
import { badFrame } from './wire.js'

/** Takes the purges that the keeper tells: lines of `KeeperServerOptions.purges`. In force when the call returns. */
export interface PurgeListener {
  /** Some of those in force when the keeper was reached, of which there may be a million: a part at a time. */
  restore(lines: readonly string[]): void
  apply(line: string): void
}

export interface RemoteKeeperOptions {
  /** Of the keeper's unix socket. */
  path: string
  /** This worker's name, as the supervisor told it. */
  worker: string
  listener: KeeperListener
  purges: PurgeListener
  /** How long requests wait for a keeper that went away or is silent, in milliseconds; then they are told to pass until it is back. */
  keeperWaitMs?: number
  /** Requests that may wait for an answer; further ones are refused at once. */
  maxPending?: number
  onFault: (error: Error) => void
}

interface Pending {
  request: FillRequest
  /** How often it was sent. */
  sent: number
  resolve: (opened: Opened) => void
  reject: (error: Error) => void
  /** While the keeper is away. */
  timer?: NodeJS.Timeout | undefined
}

/** Once more after its keeper was lost: what is lost with the next one too may be what it dies of. */
const MAX_SENT = 2

/** The keeper of a worker: a process of its own, reached over a unix socket and found again when it was restarted. */
export class RemoteKeeper implements Keeper {
  readonly #options: RemoteKeeperOptions
  readonly #keeperWaitMs: number
  readonly #maxPending: number
  readonly #link: KeeperLink
  readonly #reports: Reports
  readonly #pending = new Map<number, Pending>()
  readonly #fills = new Map<number, RemoteFill>()
  readonly #invalidations = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  #lastOpen = 0
  /** Greeted, and its purges known. */
  #there = false
  #everThere = false
  /** Of `performance.now()`: when the keeper went away. */
  #awaySince = performance.now()
  #closed = false
  readonly #connected: Promise<void>
  #tellConnected!: () => void

  constructor(options: RemoteKeeperOptions) {
    this.#options = options
    this.#keeperWaitMs = options.keeperWaitMs ?? 3000
    this.#maxPending = options.maxPending ?? 65_536
    this.#connected = new Promise((resolve) => {
      this.#tellConnected = resolve
    })
    this.#reports = new Reports({
      used: (hashes) => this.#link.send({ t: 'used', hashes }),
      damaged: (entries) => this.#link.send({ t: 'damaged', entries }),
    })
    this.#link = new KeeperLink({
      path: options.path,
      worker: options.worker,
      silenceMs: this.#keeperWaitMs,
      onMessage: (message, tail) => this.#received(message, tail),
      onLost: () => this.#lost(),
      onFault: options.onFault,
    })
  }

  /** Whether the keeper answers just now. */
  get there(): boolean {
    return this.#there
  }

  /** Resolves when the keeper was reached for the first time: what is purged and which disks are out is known from then on. */
  connected(): Promise<void> {
    return this.#connected
  }

  /** @throws MillraceError `edge-busy` (503) also when too many wait for an answer, or this worker stops */
  open(request: FillRequest): Promise<Opened> {
    if (this.#closed || this.#pending.size >= this.#maxPending) return Promise.reject(busy('too many requests wait for the keeper'))
    if (!canCross(request)) return Promise.resolve(NOT_NOW)
    return new Promise((resolve, reject) => {
      const n = ++this.#lastOpen
      const pending: Pending = { request, sent: 0, resolve, reject }
      this.#pending.set(n, pending)
      if (this.#there) this.#ask(n, pending)
      else this.#limit(n, pending)
    })
  }

  /**
   * Makes what is stored under these keys unusable in every worker.
   *
   * @throws MillraceError `edge-busy` (503) when the keeper is away, or goes away before it is done
   */
  invalidate(keys: readonly string[]): Promise<void> {
    if (!this.#there) return Promise.reject(busy('the keeper is away'))
    return new Promise((resolve, reject) => {
      const n = ++this.#lastOpen
      this.#invalidations.set(n, { resolve, reject })
      this.#link.send({ t: 'invalidate', n, keys: [...keys] })
    })
  }

  used(hash: string): void {
    this.#reports.used(hash)
  }

  damaged(hash: string, id: string): void {
    this.#reports.damaged(hash, id)
  }

  prefetch(request: FillRequest): void {
    if (this.#there) this.#link.send({ t: 'prefetch', request })
  }

  close(): void {
    this.#closed = true
    this.#link.close()
    this.#lost()
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer)
      reject(busy('this worker stops'))
    }
    this.#pending.clear()
  }

  #received(message: ToWorker, tail: Uint8Array): void {
    const { listener, purges } = this.#options
    switch (message.t) {
      case 'welcome':
        if (message.protocol !== PROTOCOL) throw badFrame(`the keeper speaks protocol ${message.protocol}, this worker ${PROTOCOL}`)
        if (this.#everThere) listener.reset()
        listener.disksOut(message.disksOut)
        return
      case 'purges':
        purges.restore(message.lines)
        if (message.n !== undefined) this.#found(message.n)
        return
      case 'purge':
        purges.apply(message.line)
        this.#link.send({ t: 'purged', n: message.n })
        return
      case 'gone':
        listener.gone(message.hashes)
        return
      case 'reset':
        listener.reset()
        return
      case 'disks-out':
        listener.disksOut(message.paths)
        return
      case 'opened': {
        const pending = this.#answered(message.n)
        const { opened } = message
        pending?.resolve(opened.kind === 'fill' ? { kind: 'fill', fill: this.#fill(opened.fill), led: opened.led } : opened)
        return
      }
      case 'refused':
        this.#answered(message.n)?.reject(errorFrom(message.error))
        return
      case 'invalidated': {
        const waiting = this.#invalidations.get(message.n)
        this.#invalidations.delete(message.n)
        if (message.error) waiting?.reject(errorFrom(message.error))
        else waiting?.resolve()
        return
      }
      case 'head': {
        const fill = this.#fill(message.fill)
        fill.tellHead(headFrom(message.head, tail, (answer) => this.#taking(answer, message.fill)))
        this.#grown(message.fill, message.available, message.state)
        return
      }
      case 'growth':
        for (const [fill, available, state] of message.fills) this.#grown(fill, available, state)
        return
      case 'pong':
        return
    }
  }

  /** The keeper is there, and what it knows of purges is in force here: whatever waited is asked now. */
  #found(n: number): void {
    this.#there = true
    this.#everThere = true
    this.#link.settled()
    this.#link.send({ t: 'purged', n })
    for (const [open, pending] of this.#pending) {
      clearTimeout(pending.timer)
      pending.timer = undefined
      this.#ask(open, pending)
    }
    this.#reports.resume()
    this.#tellConnected()
  }

  /** Fills are lost with their keeper; what was asked is asked again when it is back. */
  #lost(): void {
    if (!this.#there) return
    this.#there = false
    this.#awaySince = performance.now()
    this.#reports.pause()
    for (const fill of this.#fills.values()) fill.lose()
    this.#fills.clear()
    for (const { reject } of this.#invalidations.values()) reject(busy('the keeper went away'))
    this.#invalidations.clear()
    if (!this.#closed) for (const [n, pending] of this.#pending) this.#limit(n, pending)
  }

  #ask(n: number, pending: Pending): void {
    if (pending.sent === MAX_SENT) this.#answered(n)?.resolve(NOT_NOW)
    else {
      pending.sent++
      this.#link.send({ t: 'open', n, request: pending.request })
    }
  }

  /** A keeper that restarts is back soon. One that stays away must not hold up viewers any longer: what they want can be had without it. */
  #limit(n: number, pending: Pending): void {
    const waited = performance.now() - this.#awaySince
    pending.timer = setTimeout(() => this.#answered(n)?.resolve(NOT_NOW), Math.max(0, this.#keeperWaitMs - waited))
  }

  #answered(n: number): Pending | undefined {
    const pending = this.#pending.get(n)
    this.#pending.delete(n)
    return pending
  }

  #taking(answer: AnswerMessage, fill: number): OriginAnswer {
    const { path, worker } = this.#options
    return remoteAnswer(answer, { path, worker, fill, untaken: () => this.#link.send({ t: 'untaken', fill }) })
  }

  #fill(id: number): RemoteFill {
    let fill = this.#fills.get(id)
    if (!fill) {
      fill = new RemoteFill()
      this.#fills.set(id, fill)
    }
    return fill
  }

  #grown(id: number, available: number, state: ToldState): void {
    this.#fills.get(id)?.grown(available, state)
    if (state !== 'running') this.#fills.delete(id)
  }
}

/** It is to be had without the keeper. */
const NOT_NOW: Opened = { kind: 'pass', reason: 'not-now' }

function busy(message: string): MillraceError {
  return new MillraceError(message, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
}
