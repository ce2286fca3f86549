import { randomUUID } from 'node:crypto'
import type { Operation } from '@millrace/common/contracts/origin-api'
import { MillraceError, toErrorBody } from '@millrace/common/errors'
import { LRUCache } from 'lru-cache'
import { type AssetRef, refKey } from './layout.js'

const REMEMBERED = 10_000

export interface Work {
  /** Of bytes moved and hashed. */
  onTotal: (bytes: number) => void
  onBytes: (bytes: number) => void
  signal: AbortSignal
}

export interface OperationRequest {
  kind: Operation['kind']
  ref: AssetRef
  assetSha256: string
}

interface Entry extends OperationRequest {
  operation: Operation
  ended: Promise<void>
}

/**
 * Long work, one at a time per asset and a few at a time in all. What ended is remembered for a while; a client that asks after an
 * operation that a restart forgot starts it again, which is harmless.
 */
export class Operations {
  readonly #known = new LRUCache<string, Operation>({ max: REMEMBERED })
  readonly #running = new Map<string, Entry>()
  readonly #held = new Set<string>()
  readonly #waiting: (() => void)[] = []
  readonly #abort = new AbortController()
  readonly #onEnd: (operation: Operation, error?: unknown) => void
  #free: number

  constructor(options: { concurrency: number; onEnd: (operation: Operation, error?: unknown) => void }) {
    this.#free = options.concurrency
    this.#onEnd = options.onEnd
  }

  get running(): number {
    return this.#running.size
  }

  get(id: string): Operation | undefined {
    const operation = this.#known.get(id)
    return operation && { ...operation }
  }

  /**
   * Starts an operation, or joins the one that does the same already.
   *
   * @throws MillraceError `busy` (409) while something else goes on with this asset.
   */
  start(request: OperationRequest, work: (work: Work) => Promise<void>): Operation {
    const key = refKey(request.ref)
    const current = this.#running.get(key)
    if (current && current.kind === request.kind && current.assetSha256 === request.assetSha256) return { ...current.operation }
    if (current || this.#held.has(key)) throw busy(key)
    if (this.#abort.signal.aborted) throw stopping()
    const operation: Operation = { id: randomUUID(), kind: request.kind, ...request.ref, state: 'running', bytesDone: 0, bytesTotal: 0 }
    this.#known.set(operation.id, operation)
    this.#running.set(key, { ...request, operation, ended: this.#run(key, operation, work) })
    return { ...operation }
  }

  /** An operation that has nothing to do: remembered, so that polling it works like any other. */
  done(request: OperationRequest, bytes: number): Operation {
    const operation: Operation = {
      id: randomUUID(),
      kind: request.kind,
      ...request.ref,
      state: 'done',
      bytesDone: bytes,
      bytesTotal: bytes,
    }
    this.#known.set(operation.id, operation)
    this.#onEnd(operation)
    return { ...operation }
  }

  /** Runs short work that nothing else about this asset may overlap. @throws MillraceError `busy` (409) */
  async exclusively<T>(ref: AssetRef, work: () => Promise<T>): Promise<T> {
    const key = refKey(ref)
    if (this.#running.has(key) || this.#held.has(key)) throw busy(key)
    this.#held.add(key)
    try {
      return await work()
    } finally {
      this.#held.delete(key)
    }
  }

  isBusy(ref: AssetRef): boolean {
    return this.#running.has(refKey(ref)) || this.#held.has(refKey(ref))
  }

  /** Aborts what runs and waits for its end. */
  async stop(): Promise<void> {
    this.#abort.abort(stopping())
    await Promise.all([...this.#running.values()].map((entry) => entry.ended))
  }

  async #run(key: string, operation: Operation, work: (work: Work) => Promise<void>): Promise<void> {
    let failure: unknown
    await this.#acquire()
    try {
      this.#abort.signal.throwIfAborted()
      await work({
        onTotal: (bytes) => {
          operation.bytesTotal = bytes
        },
        onBytes: (bytes) => {
          operation.bytesDone += bytes
        },
        signal: this.#abort.signal,
      })
      operation.state = 'done'
    } catch (error) {
      failure = error
      operation.error = toErrorBody(error)
      operation.state = 'failed'
    } finally {
      this.#release()
      this.#running.delete(key)
    }
    this.#onEnd(operation, failure)
  }

  async #acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      // The caller registers the operation before its first step.
      await Promise.resolve()
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #release(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

function busy(key: string): MillraceError {
  return new MillraceError(`another operation on ${key} is running`, { code: 'busy', source: 'origin', retryable: true, status: 409 })
}

function stopping(): MillraceError {
  return new MillraceError('the origin is stopping', { code: 'stopping', source: 'origin', retryable: true, status: 503 })
}
