import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EvictionIndex } from './eviction.js'

function make(maxBytes = 100) {
  const victims: string[] = []
  return { victims, index: new EvictionIndex(maxBytes, (hash) => victims.push(hash)) }
}

describe('EvictionIndex', () => {
  it('refuses what running reservations leave no room for, and evicts nothing for it', () => {
    const { index, victims } = make()
    index.add('a', { bytes: 30, freshUntil: 0 })
    expect(index.reserve(60)).toBe(true)
    expect(index.reserve(50)).toBe(false)
    expect([victims, index.bytes]).toEqual([[], 90])
  })

  it('makes room least recently used first, before it is written', () => {
    const { index, victims } = make()
    for (const hash of ['a', 'b', 'c']) index.add(hash, { bytes: 30, freshUntil: 0 })
    index.touch('a')
    index.peek('b')
    expect(index.reserve(40)).toBe(true)
    expect([victims, index.evictedBytes, index.bytes]).toEqual([['b'], 30, 100])
  })

  it('makes an entry larger than the budget a victim itself', () => {
    const { index, victims } = make()
    index.add('a', { bytes: 101, freshUntil: 0 })
    expect([victims, index.objects, index.evictedBytes]).toEqual([['a'], 0, 101])
  })

  it('does not take forgetting or replacing for eviction', () => {
    const { index, victims } = make()
    index.add('a', { bytes: 30, freshUntil: 0 })
    index.add('a', { bytes: 40, freshUntil: 0 })
    index.forget('a')
    expect([victims, index.bytes, index.evictedBytes]).toEqual([[], 0, 0])
  })

  it('never exceeds its budget and loses no victim', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'reserve', 'release', 'forget'),
      hash: fc.nat(9),
      bytes: fc.integer({ min: 1, max: 60 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { index, victims } = make()
        const held = new Set<string>()
        const reserved: number[] = []
        for (const { kind, hash: number, bytes } of steps) {
          const hash = String(number)
          victims.length = 0
          if (kind === 'add') {
            index.add(hash, { bytes, freshUntil: 0 })
            held.add(hash)
          } else if (kind === 'reserve') {
            if (index.reserve(bytes)) reserved.push(bytes)
          } else if (kind === 'release') {
            index.release(reserved.pop() ?? 0)
          } else {
            index.forget(hash)
            held.delete(hash)
          }
          for (const victim of victims) held.delete(victim)
          expect(index.bytes).toBeLessThanOrEqual(100)
          expect(index.objects).toBe(held.size)
        }
      }),
    )
  })
})
