import { expect, it } from 'vitest'
import type { EntryMeta, HeaderField } from '../cache/entry-meta.js'
import { cacheKey } from '../cache/key.js'
import { originRequest, wantedStatus } from './origin-request.js'

const entry = (staleIfError: number) => ({ staleIfError }) as EntryMeta
const generic = (headers: HeaderField[]) => ({ mode: 'generic' as const, path: '/a', headers })
const media = { mode: 'media' as const, path: '/a' }
const { signal } = new AbortController()

it('replaces the conditions and ranges of a client by its own', () => {
  const names = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range', 'accept']
  const request = { key: cacheKey('o1 /a'), order: ['o1'], upstream: generic(names.map((name) => [name, 'x'])) }
  expect(originRequest(request, [['if-none-match', '"1"']], signal)).toMatchObject({
    purpose: 'fill',
    method: 'GET',
    headers: [
      ['accept', 'x'],
      ['if-none-match', '"1"'],
    ],
  })
})

it('takes for an answer of media only a whole, or a confirmation that it asked for', () => {
  expect([200, 204, 206, 304, 404, 500].filter(wantedStatus(media, undefined))).toEqual([200])
  expect([200, 206, 304, 404, 500].filter(wantedStatus(media, entry(0)))).toEqual([200, 304])
})

it('takes whatever a generic origin says for an answer, except errors where something stale may be served', () => {
  for (const stale of [undefined, entry(0)]) expect([200, 404, 503].filter(wantedStatus(generic([]), stale))).toEqual([200, 404, 503])
  expect([200, 404, 503].filter(wantedStatus(generic([]), entry(1)))).toEqual([200, 404])
})
