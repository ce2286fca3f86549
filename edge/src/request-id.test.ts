import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { requestIds, traceparentOf } from './request-id.js'

describe('requestIds', () => {
  it.each([undefined, '', 'short', 'a'.repeat(65), 'has space', 'line\nfeed', 'abcdefgh\n', 'quo"te-quote', 'ümlaut-ümlaut'])(
    'makes its own instead of %j',
    (given) => {
      expect(requestIds('p1234567')(given)).toBe('p1234567-0')
    },
  )

  it("takes a client's own", () => {
    expect(requestIds('p1234567')('0af7651916cd43dd8448eb211c80319c')).toBe('0af7651916cd43dd8448eb211c80319c')
  })

  it('makes no id twice, and each fit to be taken by the next hop', () => {
    const next = requestIds('p1234567')
    const ids = Array.from({ length: 1000 }, () => next(undefined))
    expect(new Set(ids).size).toBe(1000)
    const hop = requestIds('q1234567')
    for (const id of ids) expect(hop(id)).toBe(id)
  })
})

describe('traceparentOf', () => {
  const TRACE = '0af7651916cd43dd8448eb211c80319c'
  const PARENT = 'b7ad6b7169203331'
  it.each([
    undefined,
    '',
    `00-${TRACE}-${PARENT}`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${TRACE}-${PARENT}-1`,
    `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`,
    `01-${TRACE}-${PARENT}-01more`,
    `01-${TRACE}-${PARENT}-01-${'x'.repeat(65)}`,
  ])('passes %j on to nobody', (given) => {
    expect(traceparentOf(given)).toBeUndefined()
  })

  it.each([`00-${TRACE}-${PARENT}-01`, `cc-${TRACE}-${PARENT}-00`, `01-${TRACE}-${PARENT}-01-what-comes`])(
    'passes %s on as it is',
    (given) => {
      expect(traceparentOf(given)).toBe(given)
    },
  )

  it('passes nothing on that could not stand in a header', () => {
    const near = fc.array(fc.constantFrom('00', 'ff', '-', TRACE, PARENT, '01', '\r\n', ' ', 'é', 'x')).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        const passed = traceparentOf(text)
        if (passed !== undefined) expect(passed).toMatch(/^[\x21-\x7e]{55,120}$/)
      }),
    )
  })
})
