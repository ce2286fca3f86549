import { describe, expect, it } from 'vitest'
import { HeadReader } from './framing.js'

function read(lines: [string, string][]): HeadReader {
  const reader = new HeadReader()
  for (const [name, value] of lines) reader.add(name, value)
  return reader
}

describe('HeadReader', () => {
  it.each<[string, [string, string][]]>([
    ['an odd length', [['content-length', '-0']]],
    ['a length with a sign', [['content-length', '+5']]],
    ['an empty length', [['content-length', '']]],
    ['a list of lengths', [['content-length', '0, 0']]],
    [
      'two lengths',
      [
        ['content-length', '0'],
        ['content-length', '0'],
      ],
    ],
    ['a coding that is not chunked', [['transfer-encoding', 'identity']]],
    ['a coding that only ends like chunked', [['transfer-encoding', 'xchunked']]],
    ['a list of codings', [['transfer-encoding', 'gzip, chunked']]],
    [
      'two codings',
      [
        ['transfer-encoding', 'chunked'],
        ['transfer-encoding', 'chunked'],
      ],
    ],
    [
      'a length beside a coding',
      [
        ['content-length', '5'],
        ['transfer-encoding', 'chunked'],
      ],
    ],
    [
      'a coding beside a length',
      [
        ['transfer-encoding', 'chunked'],
        ['content-length', '0'],
      ],
    ],
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

  it.each(['forwarded', 'x-forwarded-for'] as const)(
    'joins the lines of %s in their order: a front may have added its own after what the client made up',
    (name) => {
      const { headers } = read([
        [name, 'for=198.51.100.1'],
        ['host', 'e'],
        [name, 'for=203.0.113.7'],
        [name, ''],
      ])
      expect([headers.forwarded, headers.forwardedFor]).toContain('for=198.51.100.1, for=203.0.113.7, ')
    },
  )

  it('keeps the first line of other fields', () => {
    const { headers } = read([
      ['x-request-id', 'first'],
      ['x-request-id', 'second'],
    ])
    expect(headers.requestId).toBe('first')
  })

  it('sees a body by its length or its coding', () => {
    expect(read([['content-length', '5']])).toMatchObject({ problem: undefined, hasBody: true })
    expect(read([['transfer-encoding', 'Chunked']])).toMatchObject({ problem: undefined, hasBody: true })
  })

  it('trusts one Host and a Content-Length of 0', () => {
    const reader = read([
      ['host', 'a'],
      ['content-length', '0'],
    ])
    expect(reader).toMatchObject({ problem: undefined, hasBody: false })
  })

  it('keeps the first of each line it uses, and nothing else', () => {
    const { headers } = read([
      ['range', 'bytes=0-1'],
      ['range', 'bytes=5-6'],
      ['if-none-match', '"a"'],
      ['cookie', 'c'],
    ])
    expect(Object.entries(headers).filter(([, value]) => value !== undefined)).toEqual([
      ['range', 'bytes=0-1'],
      ['ifNoneMatch', '"a"'],
    ])
  })

  it('gives each request headers of its own', () => {
    const reader = new HeadReader()
    reader.add('range', 'bytes=0-1')
    const first = reader.headers
    reader.reset()
    reader.add('range', 'bytes=2-3')
    expect([first.range, reader.headers.range]).toEqual(['bytes=0-1', 'bytes=2-3'])
    reader.reset()
    expect(reader.headers.range).toBeUndefined()
  })

  it('gives a request without any of its fields nothing that a later request could fill in', () => {
    const reader = new HeadReader()
    reader.reset()
    const first = reader.headers
    reader.reset()
    reader.add('range', 'bytes=2-3')
    expect([first.range, reader.headers.range]).toEqual([undefined, 'bytes=2-3'])
  })
})
