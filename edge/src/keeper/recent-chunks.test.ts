import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RecentChunks } from './recent-chunks.js'

it('has every byte that is not in the file, and right ones wherever it has any', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 200_000 }), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 30 })
  fc.assert(
    fc.property(steps, (taken) => {
      const recent = new RecentChunks()
      let end = 0
      let written = 0
      for (const [length, share] of taken) {
        recent.push(Uint8Array.from({ length }, (_, index) => (end + index) % 251))
        end += length
        written = Math.max(written, Math.floor(end * share))
        recent.written(written)
        for (const at of [0, written - 1, written, Math.floor((written + end) / 2), end - 1]) {
          const view = recent.view(at, end)
          if (at >= written && at < end) expect(view?.length).toBeGreaterThan(0)
          if (view) expect([view[0], view[view.length - 1]]).toEqual([at % 251, (at + view.length - 1) % 251])
        }
        expect(recent.view(end, end + 1)).toBeUndefined()
      }
    }),
    { numRuns: 50 },
  )
})

it('keeps a bounded part of what is in the file', () => {
  const recent = new RecentChunks()
  for (let at = 0; at < 4_000_000; at += 64_000) {
    recent.push(new Uint8Array(64_000))
    recent.written(at + 64_000)
  }
  expect(recent.view(recent.end - 300_000, recent.end)).toBeDefined()
  expect(recent.view(recent.end - 600_000, recent.end)).toBeUndefined()
})
