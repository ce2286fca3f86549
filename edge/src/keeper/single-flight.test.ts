import { describe, expect, it } from 'vitest'
import { SingleFlight } from './single-flight.js'

function pending() {
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { end, ended }
}

describe('SingleFlight', () => {
  it('refuses beyond its limits with a retryable 503', () => {
    const flights = new SingleFlight<string>({ maxFlights: 1, maxJoins: 1 })
    const { ended } = pending()
    flights.run('a', () => ({ value: 'a', ended }))
    flights.run('a', () => ({ value: 'never', ended }))
    for (const key of ['a', 'b']) {
      expect(() => flights.run(key, () => ({ value: 'never', ended }))).toThrow(
        expect.objectContaining({ status: 503, code: 'edge-busy', retryable: true }),
      )
    }
  })

  it('lets nobody join what has come to nothing, and keeps the newer work when the older is cleaned up', async () => {
    const dead = new Set<number>()
    const flights = new SingleFlight<number>({ maxFlights: 9, maxJoins: 9 }, (value) => dead.has(value))
    const [first, second] = [pending(), pending()]
    flights.run('a', () => ({ value: 1, ended: first.ended }))
    dead.add(1)
    expect(flights.run('a', () => ({ value: 2, ended: second.ended }))).toEqual({ value: 2, led: true })
    first.end()
    await first.ended
    expect(flights.run('a', () => ({ value: 3, ended: second.ended }))).toEqual({ value: 2, led: false })
    expect(flights.size).toBe(1)
  })

  it('runs one piece of work per key until it has ended', async () => {
    const flights = new SingleFlight<number>({ maxFlights: 9, maxJoins: 9 })
    const { end, ended } = pending()
    let started = 0
    const start = () => ({ value: ++started, ended })
    expect(flights.run('a', start)).toEqual({ value: 1, led: true })
    expect(flights.run('a', start)).toEqual({ value: 1, led: false })
    expect(flights.run('b', start)).toEqual({ value: 2, led: true })
    end()
    await flights.idle()
    expect(flights.size).toBe(0)
    expect(flights.run('a', start)).toEqual({ value: 3, led: true })
  })
})
