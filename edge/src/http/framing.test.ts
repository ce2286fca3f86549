import { describe, expect, it } from 'vitest'
import { HeadReader } from './framing.js'

function read(lines: [string, string][]): HeadReader {
  const reader = new HeadReader()
  for (const [name, value] of lines) reader.add(name, value)
  return reader
}

describe('HeadReader', () => {
  it.each<[string, [string, string][]]>([
    ['a body', [['content-length', '5']]],
    ['an odd length', [['content-length', '-0']]],
    ['a list of lengths', [['content-length', '0, 0']]],
    [
      'two lengths',
      [
        ['content-length', '0'],
        ['content-length', '0'],
      ],
    ],
    ['a transfer coding', [['transfer-encoding', 'identity']]],
    [
      'two hosts',
      [
        ['host', 'a'],
        ['host', 'a'],
      ],
    ],
  ])('doubts %s', (_what, lines) => {
    expect(read(lines).problem).toBeTypeOf('string')
  })

  it('trusts one Host and a Content-Length of 0', () => {
    expect(
      read([
        ['host', 'a'],
        ['content-length', '0'],
      ]).problem,
    ).toBeUndefined()
  })

  it('keeps the first of each line it uses, and nothing else', () => {
    const { headers } = read([
      ['range', 'bytes=0-1'],
      ['range', 'bytes=5-6'],
      ['if-none-match', '"a"'],
      ['cookie', 'c'],
    ])
    expect(headers).toEqual({ range: 'bytes=0-1', ifNoneMatch: '"a"' })
  })
})
