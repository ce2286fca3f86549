import fc from 'fast-check'
import { expect, it } from 'vitest'
import { MemoryBody, MemoryBudget } from './memory.js'

it('takes no body beyond its budget, told or grown', () => {
  const budget = new MemoryBudget(300_000)
  expect(MemoryBody.reserve(budget, 300_001)).toBeUndefined()
  const grown = MemoryBody.reserve(budget, undefined)
  grown?.append(Buffer.alloc(1 << 18))
  expect(() => grown?.append(Buffer.alloc(1))).toThrow(expect.objectContaining({ code: 'no-room', retryable: true }))
  expect(budget.used).toBe(1 << 18)
  grown?.free()
  grown?.free()
  expect(budget.used).toBe(0)
})

it('refuses more than it was told', () => {
  const body = MemoryBody.reserve(new MemoryBudget(100), 10)
  body?.append(Buffer.alloc(10))
  expect(() => body?.append(Buffer.alloc(1))).toThrow(RangeError)
})

it('gives back the bytes of any chunking, from any place', () => {
  const budget = new MemoryBudget(10 << 20)
  const chunk = fc.integer({ min: 1, max: 300_000 })
  fc.assert(
    fc.property(
      fc.array(chunk, { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (sizes, told, part) => {
        const length = sizes.reduce((sum, size) => sum + size, 0)
        const all = Buffer.alloc(length)
        for (let i = 0; i < length; i++) all[i] = (i * 2_654_435_761) >>> 13
        const body = MemoryBody.reserve(budget, told ? length : undefined)!
        let at = 0
        for (const size of sizes) {
          body.append(all.subarray(at, at + size))
          at += size
        }
        expect(body.slice(0, length).equals(all)).toBe(true)
        const from = Math.floor(part * length)
        const view = body.view(from)
        expect(view.length).toBeGreaterThan(0)
        expect(all.subarray(from, from + view.length).equals(view)).toBe(true)
        if (told) expect(budget.used).toBe(length)
        body.free()
        expect(budget.used).toBe(0)
      },
    ),
    { numRuns: 50 },
  )
})
