import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_PAYLOAD } from './parse.js'
import { headerPayload, queryPayload } from './payload.js'

describe('queryPayload', () => {
  it.each([
    ['two of them', 'CMCD=bl%3D1&CMCD=bl%3D2'],
    ['a percent sign that encodes nothing', 'CMCD=bl%3'],
    ['bytes that are no UTF-8', 'CMCD=%ff%fe'],
    ['64 KiB', `CMCD=${'a'.repeat(65_536)}`],
    ['more than the longest when decoded', `CMCD=${'a'.repeat(MAX_PAYLOAD + 1)}`],
  ])('refuses %s', (_what, query) => {
    expect(queryPayload(query)).toBe('invalid')
  })

  it.each(['', 'a=b', 'CMCD=', 'xCMCD=bl%3D1', 'cmcd=bl%3D1', 'CMCD', 'a=CMCD%3D1'])('finds none in %j', (query) => {
    expect(queryPayload(query)).toBeUndefined()
  })

  it.each([
    ['CMCD=bl%3D1', 'bl=1'],
    ['a=b&CMCD=bl%3D1%2Cbs&c=d', 'bl=1,bs'],
    ['xCMCD=no&CMCD=bl=1', 'bl=1'],
    ['CMCD=bl%3D(1+2)', 'bl=(1 2)'],
    ['CMCD=sid%3D%22a%2Bb%22', 'sid="a+b"'],
  ])('decodes %s', (query, text) => {
    expect(queryPayload(query)).toEqual({ text })
  })

  it('finds any payload among other parameters, encoded as browsers do', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        const query = new URLSearchParams([
          ['a', 'x&CMCD=y'],
          ['CMCD', text],
          ['b', 'CMCD='],
        ]).toString()
        expect(queryPayload(query)).toEqual({ text: new URLSearchParams(query).get('CMCD') })
      }),
    )
  })
})

describe('headerPayload', () => {
  it('refuses more than the longest', () => {
    expect(headerPayload(['a'.repeat(1100), 'b'.repeat(1100)])).toBe('invalid')
  })

  it('finds none without values', () => {
    expect(headerPayload([undefined, '', undefined, undefined])).toBeUndefined()
  })

  it('makes one dictionary of the four fields', () => {
    expect(headerPayload(['bl=1,su', 'br=2', undefined, 'bs'])).toEqual({ text: 'bl=1,su,br=2,bs' })
  })
})
