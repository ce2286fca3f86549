import { describe, expect, it } from 'vitest'
import { rank } from './rendezvous.js'

const nodes = (count: number, weight = 1) => Array.from({ length: count }, (_, i) => ({ id: `o${i + 1}`, weight }))
const keys = Array.from({ length: 4000 }, (_, i) => `video${i}`)
const firsts = (list: { id: string; weight: number }[]) => keys.map((key) => rank(key, list)[0]!.id)
const share = (ids: string[], id: string) => ids.filter((other) => other === id).length / ids.length

describe('rendezvous ranking', () => {
  it('moves about 1/11 of the keys when an eleventh origin joins ten, and only onto it', () => {
    const before = firsts(nodes(10))
    const after = firsts(nodes(11))
    const moved = keys.filter((_, i) => before[i] !== after[i])
    expect(moved.length / keys.length).toBeGreaterThan(0.07)
    expect(moved.length / keys.length).toBeLessThan(0.115)
    keys.forEach((_, i) => {
      if (before[i] !== after[i]) expect(after[i]).toBe('o11')
    })
  })

  it('keeps the order of the others when one leaves', () => {
    for (const key of keys.slice(0, 200)) {
      const all = rank(key, nodes(6)).map((node) => node.id)
      const left = rank(
        key,
        nodes(6).filter((node) => node.id !== 'o3'),
      ).map((node) => node.id)
      expect(left).toEqual(all.filter((id) => id !== 'o3'))
    }
  })

  it('spreads keys evenly over equal nodes', () => {
    const ids = firsts(nodes(5))
    for (const node of nodes(5)) expect(share(ids, node.id)).toBeCloseTo(0.2, 1)
  })

  it('gives a node of thrice the weight thrice the keys', () => {
    const ids = firsts([
      { id: 'big', weight: 3 },
      { id: 'small', weight: 1 },
    ])
    expect(share(ids, 'big')).toBeGreaterThan(0.72)
    expect(share(ids, 'big')).toBeLessThan(0.78)
  })

  it('does not depend on the order in which nodes are listed', () => {
    expect(rank('a', nodes(7)).map((node) => node.id)).toEqual(rank('a', nodes(7).reverse()).map((node) => node.id))
  })
})
