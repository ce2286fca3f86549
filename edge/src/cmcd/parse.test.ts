import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CmcdValues, MAX_PAYLOAD, parseByLibrary, parsePlain } from './parse.js'

const REAL =
  'bl=21300,br=3200,bs,cid="faec5fc2",d=4004,dl=18500,mtp=25400,nor="..%2F300kbps%2Ftrack.m4v",nrr="12323-48763",ot=v,pr=1.08,rtp=12000,sf=d,sid="6e2fb550-c457-11e9-bb97-0800200c9a66",st=v,su,tb=6000'

const KNOWN: CmcdValues = {
  bl: 21300,
  br: 3200,
  bs: true,
  dl: 18500,
  mtp: 25400,
  nor: '..%2F300kbps%2Ftrack.m4v',
  ot: 'v',
  sf: 'd',
  sid: '6e2fb550-c457-11e9-bb97-0800200c9a66',
  su: true,
}

describe('parsePlain', () => {
  it.each([
    'bl=1,',
    ',bl=1',
    'bl=',
    'bl= 1',
    'bl=1e9',
    'bl="x',
    'Bl=1',
    'bl=1;p',
    'bl=(1 2)',
    'bl=:YQ==:',
    'bl=1234567890123456',
    '__proto__=1',
    'sid="ä"',
    'bl=1 br=2',
  ])('leaves %j to the library', (payload) => {
    expect(parsePlain(payload)).toBeUndefined()
  })

  it('reads what players send', () => {
    expect(parsePlain(REAL)).toEqual(KNOWN)
    expect(parsePlain('')).toEqual({})
    expect(parsePlain('bs=?0 , su=?1,sid="a\\"b\\\\",com.example-x=2,bl=1,bl=2')).toEqual({ bs: false, su: true, sid: 'a"b\\', bl: 2 })
  })

  it('reads what it reads as the library does', () => {
    const value = fc.oneof(
      fc.constantFrom(
        '',
        '=1',
        '=-5',
        '=1.5',
        '=0',
        '=?0',
        '=?1',
        '=v',
        '=*a',
        '="x"',
        '="a\\"b"',
        '="a,b=1"',
        '=a/b:c',
        '=(1 2)',
        ';p',
        '=',
        '=01',
        '=123456789012345',
        '=1.1234',
      ),
      fc.string({ maxLength: 4 }).map((text) => `=${text}`),
    )
    const key = fc.oneof(
      fc.constantFrom('bl', 'br', 'bs', 'ot', 'sid', 'nor', 'su', 'com.example-x', '*k', 'Bl', '__proto__', 'constructor'),
      fc.string({ maxLength: 3 }),
    )
    const payload = fc
      .tuple(
        fc.array(
          fc.tuple(key, value).map((parts) => parts.join('')),
          { maxLength: 6 },
        ),
        fc.constantFrom(',', ', ', ' ,\t', ',,', ' '),
      )
      .map(([members, comma]) => members.join(comma))
    fc.assert(
      fc.property(fc.oneof(payload, fc.string()), (text) => {
        const plain = parsePlain(text)
        if (plain !== undefined) expect(plain).toEqual(parseByLibrary(text))
      }),
      { numRuns: 3000 },
    )
  })

  it('takes no longer for a hostile payload than for its length', () => {
    for (const hostile of ['a,', 'a="\\"', 'a=1.', 'bl=1 ,', 'a=(', 'a-', '"'].map((piece) => piece.repeat(MAX_PAYLOAD / piece.length))) {
      const start = performance.now()
      for (let round = 0; round < 10; round++) parsePlain(hostile)
      expect(performance.now() - start).toBeLessThan(200)
    }
  })
})

describe('parseByLibrary', () => {
  it.each(['bl=1,', 'bl=1e9', 'bl="x', 'Bl=1', '=', 'bl=(1 2', '\u0000', 'bl=12345678901234567'])('finds %j malformed', (payload) => {
    expect(parseByLibrary(payload)).toBeUndefined()
  })

  it('reads the lists of version 2: the item for this object type, else the first', () => {
    expect(parseByLibrary('bl=(21300;v 500;a),br=(3200),nor=("../x.m4s";r="0-1" "y.m4s"),ot=a,v=2')).toEqual({
      bl: 500,
      br: 3200,
      nor: '../x.m4s',
      ot: 'a',
    })
    expect(parseByLibrary('bl=(21300;v 500;a),ot=tt,mtp=()')).toEqual({ bl: 21300, ot: 'tt', mtp: undefined })
  })

  it('answers anything', () => {
    const piece = fc.constantFrom(
      'bl',
      '=',
      ',',
      '(',
      ')',
      ';',
      '"',
      '\\',
      '1',
      '.',
      '-',
      '?',
      '@',
      ':',
      '%',
      ' ',
      'v',
      'constructor',
      '__proto__',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const values = parseByLibrary(pieces.join(''))
        if (values !== undefined) expect(Object.keys(values).every((key) => key === 'bl')).toBe(true)
      }),
    )
  })
})
