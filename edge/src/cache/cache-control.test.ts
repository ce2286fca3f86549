import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCacheControl, parseDeltaSeconds } from './cache-control.js'

describe('parseCacheControl', () => {
  it('reads tokens, arguments and quoted arguments; the first of a name counts', () => {
    expect([...parseCacheControl('public,Max-Age=5 , private="a, no-store" ,max-age=9')]).toEqual([
      ['public', ''],
      ['max-age', '5'],
      ['private', 'a, no-store'],
    ])
    expect([...parseCacheControl(undefined)]).toEqual([])
  })

  it('ends an argument that was never closed at the next comma', () => {
    expect(parseCacheControl('no-cache="a, no-store').has('no-store')).toBe(true)
  })

  it('finds a directive that stands among anything', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z-]{1,9}(=[0-9]{1,3})?$/)), (others) => {
        expect(parseCacheControl([...others, 'no-store'].join(', ')).has('no-store')).toBe(true)
      }),
    )
  })
})

it.each(['', '-1', '1.0', ' 1', '1s', '0x1', undefined])('takes %s for no number of seconds', (text) => {
  expect(parseDeltaSeconds(text)).toBeUndefined()
})
