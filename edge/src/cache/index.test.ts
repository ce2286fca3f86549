import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DiskIndex, toHash, toIndexKey } from './index.js'

function make(maxBlocks = 100) {
  const victims: string[] = []
  return { victims, index: new DiskIndex(maxBlocks, (key) => victims.push(key)) }
}

function seen(index: DiskIndex, slice: number, between: (step: number) => void): string[] {
  const order: string[] = []
  const walk = index.walk((key) => order.push(key))
  for (let step = 0; walk.next(slice); step++) between(step)
  return order
}

describe('DiskIndex', () => {
  it('refuses what running reservations leave no room for, and evicts nothing for it', () => {
    const { index, victims } = make()
    index.add('a', 30)
    expect(index.reserve(60)).toBe(true)
    expect(index.reserve(50)).toBe(false)
    expect([victims, index.blocks]).toEqual([[], 90])
  })

  it('makes an entry larger than the budget a victim itself', () => {
    const { index, victims } = make()
    index.add('a', 101)
    expect([victims, index.objects, index.evictedBytes]).toEqual([['a'], 0, 101 * 4096])
  })

  it('makes room least recently used first, and says that it is free only when the files are gone', () => {
    const { index, victims } = make()
    for (const key of ['a', 'b', 'c']) index.add(key, 30)
    index.touch('a')
    index.blocksOf('b')
    expect(index.reserve(40)).toBe(true)
    expect([victims, index.evictedBytes, index.blocks, index.fits]).toEqual([['b'], 30 * 4096, 130, false])
    index.left(30)
    expect([index.blocks, index.fits]).toEqual([100, true])
  })

  it('keeps to what a full disk has, until it is told otherwise', () => {
    const { index, victims } = make()
    for (const key of ['a', 'b']) index.add(key, 20)
    index.setFull()
    expect(index.reserve(41)).toBe(false)
    expect(index.reserve(20)).toBe(true)
    expect(victims).toEqual(['a'])
    index.unsetFull()
    index.left(20)
    expect(index.reserve(60)).toBe(true)
    expect(victims).toEqual(['a'])
  })

  it('does not take removing or replacing for eviction', () => {
    const { index, victims } = make()
    index.add('a', 30)
    index.add('a', 40)
    index.left(index.remove('a'))
    expect([victims, index.blocks, index.evictedBytes, index.remove('a')]).toEqual([[], 0, 0, 0])
  })

  it('walks past entries that move or go while it stands on them', () => {
    const { index } = make()
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) index.add(key, 1)
    const order = seen(index, 2, (step) => {
      if (step === 0) index.touch('b')
      if (step === 1) index.left(index.remove('d'))
    })
    expect(new Set(order)).toEqual(new Set(['a', 'b', 'c', 'd', 'e', 'f']))
    expect(order.lastIndexOf('b')).toBe(order.length - 1)
  })

  it('misses no entry on a walk, whatever happens meanwhile, and has the moved ones last', () => {
    const change = fc.record({ kind: fc.constantFrom('touch', 'remove', 'add', 'reserve'), key: fc.nat(15) })
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (changes, slice) => {
        const { index, victims } = make(20)
        const untouched = new Set<string>()
        for (let key = 0; key < 12; key++) {
          index.add(String(key), 1)
          untouched.add(String(key))
        }
        const order = seen(index, slice, (step) => {
          for (const { kind, key } of changes[step] ?? []) {
            untouched.delete(String(key))
            if (kind === 'touch') index.touch(String(key))
            else if (kind === 'remove') index.left(index.remove(String(key)))
            else if (kind === 'add') index.add(String(key), 2)
            else if (index.reserve(2)) index.release(2)
          }
          for (const victim of victims) untouched.delete(victim)
        })
        for (const key of untouched) expect(order).toContain(key)
        const now: string[] = []
        index.walk((key) => now.push(key)).next(100)
        const last = now.filter((key) => order.includes(key))
        expect([...new Set(order.toReversed())].toReversed().filter((key) => last.includes(key) && untouched.has(key))).toEqual(
          last.filter((key) => untouched.has(key)),
        )
      }),
    )
  })

  it('never promises more than its budget and loses no victim', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'reserve', 'release', 'remove', 'left', 'trim'),
      key: fc.nat(9),
      blocks: fc.integer({ min: 1, max: 60 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { index, victims } = make()
        const held = new Map<string, number>()
        const reserved: number[] = []
        let leaving = 0
        for (const { kind, key: number, blocks } of steps) {
          const key = String(number)
          victims.length = 0
          const before = new Map(held)
          if (kind === 'add') {
            index.add(key, blocks)
            held.set(key, blocks)
          } else if (kind === 'reserve') {
            if (index.reserve(blocks)) reserved.push(blocks)
          } else if (kind === 'release') {
            index.release(reserved.pop() ?? 0)
          } else if (kind === 'remove') {
            leaving += index.remove(key)
            held.delete(key)
          } else if (kind === 'trim') {
            index.trim(blocks, 3)
          } else {
            index.left(leaving)
            leaving = 0
          }
          for (const victim of victims) {
            leaving += (victim === key ? held.get(victim) : before.get(victim)) ?? 0
            held.delete(victim)
          }
          const sum = [...held.values(), ...reserved].reduce((total, one) => total + one, 0)
          expect(index.blocks).toBe(sum + leaving)
          expect(index.objects).toBe(held.size)
          expect(sum).toBeLessThanOrEqual(100)
          if (leaving === 0) expect(index.fits).toBe(true)
        }
      }),
    )
  })

  it('knows a hash by its bytes', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{32}$/), (hash) => {
        expect(toIndexKey(hash)).toHaveLength(16)
        expect(toHash(toIndexKey(hash))).toBe(hash)
      }),
    )
  })
})
