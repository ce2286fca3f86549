import { describe, expect, it } from 'vitest'
import { SimulatedTime } from '../../test/simulated-time.js'
import type { BodyReader } from '../cache/body.js'
import { ReadRateGuard, type WatchedTransfer } from '../limits/min-rate.js'
import { BufferPool } from './buffer-pool.js'
import type { Exchange, ResponseHead } from './exchange.js'
import { type Sending, sendBytes, sendPieces } from './send.js'

const HEAD: ResponseHead = { status: 200, text: '200 OK' }
const SECOND = 1000

/** A client that takes so many bytes each second and nothing in between. */
class SlowClient {
  aborted = false
  taken = 0
  readonly #time: SimulatedTime
  readonly #perSecond: number
  #room = 0

  constructor(time: SimulatedTime, perSecond: number) {
    this.#time = time
    this.#perSecond = perSecond
  }

  /** As an exchange, of which sending needs no more. */
  get exchange(): Exchange {
    return this as unknown as Exchange
  }

  trySend(_head: ResponseHead, chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, this.#room)
    this.#room -= taken
    this.taken += taken
    return taken
  }

  async writable(): Promise<void> {
    await this.#time.pass(SECOND)
    this.#room = this.#perSecond
  }

  cut(): void {
    this.aborted = true
  }
}

const bodyOf = (bytes: Uint8Array): BodyReader => ({ read: async (_buffer, at, end) => bytes.subarray(at, end), close: () => undefined })

describe('a watched transfer', () => {
  const LENGTH = 1_000_000
  const bytes = new Uint8Array(LENGTH)
  const watchedBy = (guard: ReadRateGuard, client: SlowClient, comfortBytes: number): Sending => {
    let watched: WatchedTransfer | undefined
    return {
      pool: new BufferPool(comfortBytes),
      onRefused: () => {
        watched ??= guard.watch(() => client.cut())
        watched.blocked()
      },
      onTook: (count, all) => watched?.took(count, all),
      onEnd: () => watched?.end(),
    }
  }
  const ways: [string, (client: SlowClient, sending: Sending) => Promise<void>][] = [
    ['from a file', (client, sending) => sendPieces(client.exchange, HEAD, bodyOf(bytes), [{ start: 0, end: LENGTH }], LENGTH, sending)],
    ['from memory', (client, sending) => sendBytes(client.exchange, HEAD, [bytes], LENGTH, sending)],
  ]
  const buffers: [string, number][] = [
    ['ample', 1 << 30],
    ['scarce', 0],
  ]

  for (const [from, send] of ways) {
    it.each(buffers)(`${from} is cut when its client reads too slowly, while buffers are %s`, async (_what, comfort) => {
      const time = new SimulatedTime()
      const guard = new ReadRateGuard({ minRate: 10_000, windowMs: 5 * SECOND }, time)
      const client = new SlowClient(time, 5000)
      await send(client, watchedBy(guard, client, comfort))
      expect(client.aborted).toBe(true)
      expect(client.taken).toBeLessThan(LENGTH / 10)
      expect([guard.watched, time.timers]).toEqual([0, 0])
    })

    it.each(buffers)(`${from} is left alone when its client reads fast enough, while buffers are %s`, async (_what, comfort) => {
      const time = new SimulatedTime()
      const guard = new ReadRateGuard({ minRate: 10_000, windowMs: 5 * SECOND }, time)
      const client = new SlowClient(time, 20_000)
      await send(client, watchedBy(guard, client, comfort))
      expect([client.aborted, client.taken]).toEqual([false, LENGTH])
      expect([guard.watched, time.timers]).toEqual([0, 0])
    })
  }
})
