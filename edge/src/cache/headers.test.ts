import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FIELD_NAME, FIELD_VALUE, type HeaderField } from './entry-meta.js'
import { storableHeaders } from './headers.js'

describe('storableHeaders', () => {
  it.each<HeaderField>([
    ['x', 'a\r\nb: c'],
    ['x', '\u0000'],
    ['x y', '1'],
    ['x', 'y'.repeat(2049)],
    ['x'.repeat(65), '1'],
  ])('has no place for %j', (...field) => {
    expect(storableHeaders([['etag', '"a"'], field])).toBeUndefined()
  })

  it('has no place for more than a head holds', () => {
    expect(storableHeaders(Array.from({ length: 200 }, (_, n): HeaderField => [`x-${n}`, 'value value']))).toBeUndefined()
  })

  it('drops what is of one connection, of a proxy, or written by the edge', () => {
    const names = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'proxy-authenticate', 'proxy-connection']
    const own = ['content-length', 'date', 'age', 'via', 'x-cache', 'x-origin', 'cache-status']
    expect(storableHeaders([...names, ...own].map((name): HeaderField => [name, '1']))).toEqual([])
    expect(
      storableHeaders([
        ['connection', 'A, close'],
        ['a', '1'],
        ['b', '2'],
      ]),
    ).toEqual([['b', '2']])
  })

  it('keeps the rest in order and multiplicity, of media only what describes the body', () => {
    const fields: HeaderField[] = [
      ['set-cookie', 'a=1'],
      ['etag', '"a"'],
      ['set-cookie', 'b=1'],
      ['access-control-allow-origin', '*'],
    ]
    expect(storableHeaders(fields)).toEqual(fields)
    expect(storableHeaders(fields, 'media')).toEqual([['etag', '"a"']])
  })

  it('gives nothing that an entry could not hold, whatever it is fed', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string())), (fields) => {
        for (const [name, value] of storableHeaders(fields) ?? []) expect(FIELD_NAME.test(name) && FIELD_VALUE.test(value)).toBe(true)
      }),
    )
  })
})
