import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Inventory } from './inventory.js'
import { refKey } from './layout.js'

const record = { version: 1 as const, assetSha256: 'f'.repeat(64), bytes: 1, committedAt: '2026-01-01T00:00:00.000Z' }
const A = 'a'.repeat(26)
const B = 'b'.repeat(26)

describe('the inventory', () => {
  it('pages on from a key that is gone', () => {
    const inventory = new Inventory()
    for (const rev of ['r1', 'r2', 'r3', 'r4']) inventory.add({ videoId: A, rev }, record)
    const first = inventory.page(undefined, 2)
    expect(first.next).toBe(`${A}/r2`)
    inventory.remove({ videoId: A, rev: 'r2' })
    expect(inventory.page(first.next, 2)).toEqual({ items: ['r3', 'r4'].map((rev) => expect.objectContaining({ rev })) })
  })

  it('gives the revisions of one video only', () => {
    const inventory = new Inventory()
    for (const ref of [
      { videoId: B, rev: 'r1' },
      { videoId: A, rev: 'r2' },
      { videoId: A, rev: 'r1' },
    ])
      inventory.add(ref, record)
    expect(inventory.ofVideo(A).map((item) => item.rev)).toEqual(['r1', 'r2'])
    expect(inventory.ofVideo('c'.repeat(26))).toEqual([])
  })

  it('is a sorted set under any adds and removes, and its pages give it whole', () => {
    const ref = fc.record({ videoId: fc.constantFrom(A, B), rev: fc.integer({ min: 1, max: 30 }).map((n) => `r${n}`) })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), ref)), fc.integer({ min: 1, max: 5 }), (steps, limit) => {
        const inventory = new Inventory()
        const model = new Set<string>()
        for (const [add, one] of steps) {
          if (add) inventory.add(one, record)
          else inventory.remove(one)
          if (add) model.add(refKey(one))
          else model.delete(refKey(one))
        }
        const seen: string[] = []
        let after: string | undefined
        do {
          const page = inventory.page(after, limit)
          seen.push(...page.items.map(refKey))
          after = page.next
        } while (after !== undefined)
        expect(seen).toEqual([...model].sort())
        expect(inventory.size).toBe(model.size)
      }),
    )
  })
})
