import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../harness/random.js'
import { bytesOf } from '../harness/told-bytes.js'
import { catalogOf, OBJECTS } from './catalog.js'
import { planRequest } from './plan.js'

describe('what origins and clients agree on', () => {
  it('is another set for another seed, and the same for the same', () => {
    expect(catalogOf(1)).toEqual(catalogOf(1))
    expect(catalogOf(1)).not.toEqual(catalogOf(2))
    expect(new Set(catalogOf(1).map((object) => object.path)).size).toBe(OBJECTS)
  })

  it('are bytes in which any other path, place or length shows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 5000 }), (start, shift) => {
        const body = bytesOf('/a', 20_000)
        const part = body.subarray(start, start + 128)
        expect(part.equals(bytesOf('/b', 20_000).subarray(start, start + 128))).toBe(false)
        expect(part.equals(body.subarray(start + shift, start + shift + 128))).toBe(false)
      }),
    )
  })
})

it('no plan asks for a part that the object has not, or expects what its headers do not ask for', () => {
  const objects = catalogOf(3)
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const plan = planRequest(objects, randomFrom(seed))
      const { part, object, right, headers } = plan
      if (part) {
        expect(part.start).toBeGreaterThanOrEqual(0)
        expect(part.end).toBeGreaterThan(part.start)
        expect(part.end).toBeLessThanOrEqual(object.bytes)
      }
      expect(right.includes(206)).toBe(part !== undefined && headers.range !== undefined)
      expect(right.includes(304)).toBe(headers['if-none-match'] === object.etag)
    }),
    { numRuns: 2000 },
  )
})
