import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeaderField } from './entry-meta.js'
import { variantText, varyNames } from './vary.js'

const text = (name: string, ...values: string[]) =>
  variantText(
    [name],
    values.map((value): HeaderField => [name, value]),
  )

describe('varyNames', () => {
  it.each(['*', '*, *', ', *', '*, foo', 'foo, *', 'foo bar', Array.from({ length: 17 }, (_, n) => `f${n}`).join()])(
    'selects nothing by %s',
    (value) => {
      expect(varyNames(value)).toBeUndefined()
    },
  )

  it('has each name once, whatever its case and place', () => {
    expect(varyNames('Foo, bar,,FOO ')).toEqual(['bar', 'foo'])
    expect([varyNames(undefined), varyNames('')]).toEqual([[], []])
  })
})

describe('variantText', () => {
  it('is not made of more than 2 KiB', () => {
    expect(text('cookie', 'x'.repeat(2100))).toBeUndefined()
  })

  it.each([
    ['foo', [], ['']],
    ['foo', ['1'], ['2']],
    ['foo', ['a b'], ['a  b']],
    ['foo', ['"a,b"'], ['"a, b"']],
    ['accept-encoding', ['gzip'], ['gzip;q=0']],
    ['accept-language', ['en, de'], ['de, en']],
  ])('tells %s: %j from %j', (name, a, b) => {
    expect(text(name, ...a)).not.toBe(text(name, ...b))
  })

  it.each([
    ['foo', ['1', '2'], ['1, 2']],
    ['foo', ['1,2'], [' 1 ,  2']],
    ['accept-encoding', ['gzip, br'], ['BR;q=1.0,GZIP']],
    ['accept-encoding', ['gzip;q=0.5'], ['gzip ; q=0.500']],
    ['accept-encoding', ['gzip;q=0'], ['gzip;q=0.0']],
    ['accept-language', ['en-GB,de;q=0.7'], ['en-gb, de; q=0.70']],
  ])('does not tell %s: %j from %j', (name, a, b) => {
    expect(text(name, ...a)).toBe(text(name, ...b))
  })

  it('never mixes up which field says what', () => {
    const pair = fc.record({ a: fc.option(fc.string(), { nil: undefined }), b: fc.option(fc.string(), { nil: undefined }) })
    const of = (fields: { a: string | undefined; b: string | undefined }) =>
      variantText(
        ['a', 'b'],
        Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined),
      )
    const simple = (value: string | undefined) =>
      value
        ?.split(',')
        .map((member) => member.trim())
        .join(',') ?? null
    fc.assert(
      fc.property(pair, pair, (one, two) => {
        const equal = simple(one.a) === simple(two.a) && simple(one.b) === simple(two.b)
        if (!equal) expect(of(one)).not.toBe(of(two))
      }),
    )
  })
})
