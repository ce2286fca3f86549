import { cacheKey } from '../src/cache/key.js'
import type { Fill, FillHead, FillRequest, Growth, Keeper, Opened } from '../src/keeper/contract.js'

/** A fill that grows as the test tells it. */
export class HandFill implements Fill {
  readonly head: Promise<FillHead>
  available = 0
  state: Growth['state'] = 'running'
  tell!: (head: FillHead) => void
  #waiting: (() => void)[] = []

  constructor() {
    this.head = new Promise((resolve) => {
      this.tell = resolve
    })
  }

  begin(first: Uint8Array): void {
    this.available = first.length
    this.tell({ kind: 'ready', meta: META, cause: 'cold', first, location: { kind: 'file', path: '/cache/tmp/1', bodyOffset: 4096 } })
  }

  grow(available: number, state: Growth['state'] = 'running'): void {
    this.available = available
    this.state = state
    for (const wake of this.#waiting.splice(0)) wake()
  }

  progress(offset: number): Promise<void> {
    if (this.available > offset || this.state !== 'running') return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

/** A keeper that answers each open with what the test says. */
export class HandKeeper implements Keeper {
  opens: FillRequest[] = []
  usedHashes: string[] = []
  damagedEntries: [string, string][] = []
  prefetched: FillRequest[] = []
  answer: (request: FillRequest) => Promise<Opened> | Opened = () => ({ kind: 'stored', revalidated: false })

  async open(request: FillRequest): Promise<Opened> {
    this.opens.push(request)
    return this.answer(request)
  }
  used(hash: string): void {
    this.usedHashes.push(hash)
  }
  damaged(hash: string, id: string): void {
    this.damagedEntries.push([hash, id])
  }
  prefetch(request: FillRequest): void {
    this.prefetched.push(request)
  }
}

export const META = {
  id: '0123456789abcdef',
  key: '/dash/x',
  status: 200,
  headers: [['content-type', 'video/mp4']] as [string, string][],
  length: 1000,
  origin: 'o1',
  generation: 0,
  bornAt: 1,
  freshUntil: 2,
  staleWhileRevalidate: 0,
  staleIfError: 0,
}

export function asking(path: string): FillRequest {
  return { key: cacheKey(path), order: ['o1', 'o2'], upstream: { mode: 'media', path }, trace: { requestId: 'r1' } }
}
