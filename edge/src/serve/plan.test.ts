import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RequestHeaders } from '../http/framing.js'
import { isPlain, planAnswer } from './plan.js'

const representation = { etag: '"a"', lastModified: 'Sun, 19 Nov 2000 08:52:00 GMT', length: 1000, contentType: 'video/mp4' }
const headersOf = (given: Partial<RequestHeaders>) => Object.assign(new RequestHeaders(), given)
const plan = (given: Partial<RequestHeaders>, method = 'GET') => planAnswer(method, headersOf(given), representation, () => 'b')

describe('planAnswer', () => {
  it('answers a range beyond the end with what there is to know', () => {
    expect(plan({ range: 'bytes=1000-' })).toEqual({ kind: 'unsatisfiable', fields: [['content-range', 'bytes */1000']] })
  })

  it('asks preconditions before ranges', () => {
    expect(plan({ range: 'bytes=0-1', ifNoneMatch: '"a"' }).kind).toBe('not-modified')
  })

  it('sends the whole when If-Range names another representation, or the method is HEAD', () => {
    for (const given of [plan({ range: 'bytes=0-1', ifRange: '"b"' }), plan({ range: 'bytes=0-1' }, 'HEAD')]) {
      expect(given).toMatchObject({ kind: 'send', status: 200, total: 1000 })
    }
  })

  it('sends one range as a part', () => {
    expect(plan({ range: 'bytes=-10' })).toEqual({
      kind: 'send',
      status: 206,
      fields: [['content-range', 'bytes 990-999/1000']],
      pieces: [{ start: 990, end: 1000 }],
      total: 10,
    })
  })

  it('counts exactly what its pieces hold, whatever is asked', () => {
    const position = fc.nat(1200)
    const one = fc.oneof(
      fc.tuple(position, position).map(([a, b]) => `${a}-${b}`),
      position.map((a) => `${a}-`),
      position.map((a) => `-${a}`),
    )
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 12 }), (ranges) => {
        const made = plan({ range: `bytes=${ranges.join(',')}` })
        if (made.kind !== 'send') return
        const held = made.pieces.reduce((sum, piece) => sum + (piece instanceof Uint8Array ? piece.length : piece.end - piece.start), 0)
        expect(held).toBe(made.total)
      }),
    )
  })
})

it('calls a request plain that asks for nothing but the whole', () => {
  expect(isPlain(headersOf({ acceptEncoding: 'br' }))).toBe(true)
  expect(isPlain(headersOf({ range: 'bytes=0-' }))).toBe(false)
  expect(isPlain(headersOf({ ifNoneMatch: '*' }))).toBe(false)
})
