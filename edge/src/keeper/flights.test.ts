import { describe, expect, it } from 'vitest'
import type { FillHead } from './contract.js'
import { type Flight, Flights } from './flights.js'
import { Growing } from './growing.js'

class TestFlight extends Growing implements Flight {
  told = false
  superseded = false
  tell!: (head: FillHead) => void
  readonly head = new Promise<FillHead>((resolve) => {
    this.tell = (head) => {
      this.told = true
      resolve(head)
    }
  })
  supersede(): void {
    this.superseded = true
  }
}

function pending() {
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { end, ended, fill: new TestFlight() }
}

const PASS: FillHead = { kind: 'pass', reason: 'directive' }

describe('Flights', () => {
  const flights = (limits: { maxFlights?: number; maxJoins?: number; lockTimeoutMs?: number } = {}) =>
    new Flights<TestFlight>({ maxFlights: 9, maxJoins: 9, lockTimeoutMs: 60_000, ...limits }, (fill) => fill.state !== 'broken')

  it('refuses beyond its limits with a retryable 503', async () => {
    const under = flights({ maxFlights: 1, maxJoins: 1 })
    const { ended, end, fill } = pending()
    under.lead('a', () => ({ fill, ended }))
    under.join('a')
    const busy = expect.objectContaining({ status: 503, code: 'edge-busy', retryable: true })
    expect(() => under.join('a')).toThrow(busy)
    expect(() => under.lead('b', () => ({ fill, ended }))).toThrow(busy)
    fill.tell(PASS)
    end()
    await under.idle()
  })

  it('lets nobody join what has come to nothing, and keeps the newer flight when the older is cleaned up', async () => {
    const under = flights()
    const [first, second] = [pending(), pending()]
    under.lead('a', () => first)
    first.fill.end('broken')
    expect(under.join('a')).toBeUndefined()
    expect(under.lead('a', () => second)).toMatchObject({ led: true })
    expect([first.fill.superseded, second.fill.superseded]).toEqual([true, false])
    expect(under.count((fill) => fill === first.fill)).toBe(1)
    first.end()
    await first.ended
    expect(under.peek('a')).toBe(second.fill)
    expect(under.size).toBe(1)
    second.end()
    await under.idle()
    expect([under.size, under.join('a')]).toEqual([0, undefined])
  })

  it('lets nobody wait for a head longer than the limit, but join a flight that has one at any time', async () => {
    const under = flights({ lockTimeoutMs: 20 })
    const { ended, end, fill } = pending()
    under.lead('a', () => ({ fill, ended }))
    const joined = under.join('a')
    expect(joined?.kind === 'fill' && (await joined.fill.head)).toEqual({ kind: 'pass', reason: 'lock-timeout' })
    expect(under.join('a')).toEqual({ kind: 'pass', reason: 'lock-timeout' })
    fill.tell(PASS)
    expect(under.join('a')).toEqual({ kind: 'fill', fill, led: false })
    expect(under.joined).toBe(2)
    end()
    await under.idle()
  })

  it('gives those who wait the head of the flight, and how far it has come', async () => {
    const under = flights()
    const { ended, end, fill } = pending()
    under.lead('a', () => ({ fill, ended }))
    const joined = under.join('a')
    if (joined?.kind !== 'fill') throw new Error('not joined')
    fill.grow(7)
    fill.tell(PASS)
    expect([await joined.fill.head, joined.fill.available, joined.fill.state, joined.led]).toEqual([PASS, 7, 'running', false])
    await joined.fill.progress(6)
    expect(joined.fill.hold?.()).toBeTypeOf('function')
    end()
    await under.idle()
  })
})
