import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { head, renderFields, renderHead } from './head.js'

describe('a rendered head', () => {
  it('never has more lines than fields, whatever an origin put into a value', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (values) => {
        const text = renderFields(values.map((value) => ['x-a', value] as const))
        expect(text.split(/\r|\n/).filter((line) => line !== '')).toHaveLength(values.length)
        expect(text.match(/\r\n/g)?.length ?? 0).toBe(values.length)
      }),
    )
  })

  it('has the bytes of an origin, where they are beyond ASCII', () => {
    const { text } = head(200, [['content-disposition', 'caf\u00c3\u00a9 \u00e9 \u2603']])
    expect(Buffer.from(text as Uint8Array).toString('latin1')).toBe('200 OK\r\ncontent-disposition: caf\u00c3\u00a9 \u00e9 ')
  })

  it('names the status, also one that has no name', () => {
    expect(head(206, [['etag', '"a"']]).text).toBe('206 Partial Content\r\netag: "a"')
    expect(renderHead(299, '').text).toBe('299 Unknown')
  })
})
