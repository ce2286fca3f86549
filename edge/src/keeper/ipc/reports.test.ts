import { describe, expect, it } from 'vitest'
import { Reports } from './reports.js'

describe('reports of use and damage', () => {
  const gathered = () => {
    const sent: { used: string[][]; damaged: [string, string][][] } = { used: [], damaged: [] }
    const reports = new Reports({ used: (hashes) => sent.used.push(hashes), damaged: (entries) => sent.damaged.push(entries) })
    return { sent, reports }
  }

  it('are kept up to a bound while the keeper is away, and sent when it is back', () => {
    const { sent, reports } = gathered()
    for (let i = 0; i < 150_000; i++) reports.used(`h${i}`)
    for (let i = 0; i < 150_000; i++) reports.damaged(`h${i}`, 'id')
    expect(sent).toEqual({ used: [], damaged: [] })
    reports.resume()
    expect(sent.used.flat()).toHaveLength(100_000)
    expect(sent.damaged.flat()).toHaveLength(100_000)
    expect(Math.max(...sent.used.map((batch) => batch.length))).toBe(512)
    reports.pause()
  })

  it('go in batches of distinct entries', () => {
    const { sent, reports } = gathered()
    reports.resume()
    for (let round = 0; round < 3; round++) for (let i = 0; i < 511; i++) reports.used(`h${i}`)
    expect(sent.used).toEqual([])
    reports.used('one more')
    expect(sent.used).toHaveLength(1)
    expect(sent.used[0]).toHaveLength(512)
    reports.pause()
  })
})
