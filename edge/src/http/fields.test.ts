import { describe, expect, it } from 'vitest'
import { appendVia, endToEnd } from './fields.js'

describe('endToEnd', () => {
  it('drops what Connection lists, in whatever case and line, and what is always of one hop', () => {
    expect(
      endToEnd([
        ['connection', 'X-A ,close'],
        ['x-a', '1'],
        ['connection', 'x-b'],
        ['x-b', '1'],
        ['te', 'trailers'],
        ['upgrade', 'websocket'],
        ['transfer-encoding', 'chunked'],
        ['keep-alive', 'timeout=5'],
        ['proxy-authorization', 'Basic eA=='],
      ]),
    ).toEqual([])
  })

  it('keeps the rest as it came', () => {
    const fields: [string, string][] = [
      ['set-cookie', 'a=1'],
      ['x-a', ''],
      ['set-cookie', 'a=1'],
      ['content-length', '5'],
    ]
    expect(endToEnd(fields)).toEqual(fields)
  })
})

it('adds itself to Via, at the end', () => {
  expect([appendVia(undefined, 'e1'), appendVia('1.0 fred, 1.1 p.example', 'e1')]).toEqual(['1.1 e1', '1.0 fred, 1.1 p.example, 1.1 e1'])
})
