import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { genericApp, MODIFIED, OLD } from './generic-app.js'
import type { Fields } from './generic-site.js'

describe('generic mode', () => {
  const app = genericApp()
  const { serve, always, text, twice, phase } = app

  describe('conditions of clients', () => {
    it('are answered from what is stored', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', 'last-modified': MODIFIED })
      await text()
      expect((await app.edge.get('/app/a', { 'if-none-match': '"b"', 'if-modified-since': MODIFIED })).status).toBe(200)
      const answer = await app.edge.get('/app/a', { 'if-none-match': 'W/"a"' })
      expect([answer.status, answer.headers.etag, answer.headers['content-length']]).toEqual([304, '"a"', undefined])
      expect((await app.edge.get('/app/a', { 'if-modified-since': MODIFIED })).status).toBe(304)
      expect(app.origin.requests.length).toBe(1)
    })

    it.each([
      ['if-match', '"b"'],
      ['if-unmodified-since', MODIFIED],
    ])('%s is for the origin to judge, whatever is stored', async (name, value) => {
      serve((incoming) => ({
        status: incoming.headers[name] === value ? 412 : 200,
        headers: { 'cache-control': 'max-age=60', etag: '"a"' },
      }))
      await text()
      for (const method of ['GET', 'HEAD'] as const) expect((await app.edge.get('/app/a', { [name]: value }, method)).status).toBe(412)
      expect((await app.edge.get('/app/a', { [name]: value, 'cache-control': 'only-if-cached' })).status).toBe(504)
      expect(await phase()).toBe('hit')
    })

    it('do not make a miss fetch less than the whole', async () => {
      serve((incoming) => ({
        headers: { 'cache-control': 'max-age=60', etag: '"a"', 'x-asked': String(incoming.headers['if-none-match']) },
      }))
      const answer = await app.edge.get('/app/a', { 'if-none-match': '"a"' })
      expect([answer.status, answer.headers['x-asked']]).toEqual([304, 'undefined'])
    })
  })

  describe('revalidation', () => {
    it.each<[string, Fields, string]>([
      ['ETag', { etag: '"a"' }, 'if-none-match'],
      ['a weak ETag', { etag: 'W/"a"' }, 'if-none-match'],
      ['Last-Modified', { 'last-modified': MODIFIED }, 'if-modified-since'],
    ])('by %s keeps the body and takes the new fields', async (_, validator, condition) => {
      serve((incoming, count) =>
        incoming.headers[condition] === Object.values(validator)[0]
          ? { status: 304, headers: { ...validator, 'x-new': String(count), 'cache-control': 'max-age=600' } }
          : { headers: { ...validator, ...OLD, 'cache-control': 'max-age=60', 'x-kept': '1', 'x-new': '0' } },
      )
      await text()
      const confirmed = await app.edge.get('/app/a')
      expect([confirmed.body.toString(), confirmed.headers['x-cache']]).toEqual(['body 1', 'revalidated'])
      const hit = await app.edge.get('/app/a')
      expect([hit.headers['x-cache'], hit.headers['x-kept'], hit.headers['x-new']]).toEqual(['hit', '1', '2'])
    })

    it('asks at each use where the origin wants that', async () => {
      serve((incoming) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: '"a"', 'cache-control': 'no-cache' },
      }))
      expect([await text(), await text(), await text()]).toEqual(['body 1', 'body 1', 'body 1'])
      expect(app.origin.requests.length).toBe(3)
    })

    it('replaces what has changed', async () => {
      serve((_, count) => ({ headers: { etag: `"${count}"`, 'cache-control': 'max-age=60', ...(count === 1 && OLD) } }))
      expect([await text(), await text(), await text()]).toEqual(['body 1', 'body 2', 'body 2'])
    })

    it('does not let a 304 about something else confirm anything', async () => {
      serve((incoming, count) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: count === 1 ? '"a"' : '"b"', 'cache-control': 'max-age=60', ...OLD },
      }))
      await text()
      expect(await text()).not.toBe('body 1')
    })
  })

  describe('stale answers', () => {
    it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'no-cache'])('are never given with %s', async (directive) => {
      always({ 'cache-control': `${directive}, max-age=60, stale-while-revalidate=600, stale-if-error=600`, etag: '"a"', ...OLD })
      await text()
      await app.origin.stop()
      expect((await app.edge.get('/app/a', { 'cache-control': 'max-stale' })).status).toBeGreaterThanOrEqual(502)
    })

    it('are never given without a directive', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', ...OLD })
      await text()
      await app.origin.stop()
      expect((await app.edge.get('/app/a')).status).toBeGreaterThanOrEqual(502)
    })

    it('are given while one request revalidates', async () => {
      serve((_, count) => ({
        headers: { 'cache-control': 'max-age=60, stale-while-revalidate=600', etag: `"${count}"`, ...(count === 1 && OLD) },
      }))
      await text()
      const stale = await app.edge.get('/app/a')
      expect([stale.body.toString(), stale.headers['x-cache']]).toEqual(['body 1', 'stale'])
      await until('the new answer', async () => (await text()) === 'body 2')
    })

    it('are given when the origin fails, or cannot be reached', async () => {
      serve((_, count) =>
        count === 1 ? { headers: { 'cache-control': 'max-age=60, stale-if-error=600', etag: '"a"', ...OLD } } : { status: 503 },
      )
      await text()
      const failing = await app.edge.get('/app/a')
      expect([failing.status, failing.body.toString(), failing.headers['x-cache']]).toEqual([200, 'body 1', 'stale'])
      await app.origin.stop()
      expect(await phase()).toBe('stale')
    })

    it('are given to whoever takes them', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', ...OLD })
      await text()
      expect(await phase({ 'cache-control': 'max-stale=600' })).toBe('stale')
    })
  })

  describe('directives of requests', () => {
    it.each<Record<string, string>>([
      { 'cache-control': 'no-cache' },
      { pragma: 'no-cache' },
      { 'cache-control': 'max-age=0' },
      { 'cache-control': 'min-fresh=600' },
    ])('%j asks the origin, with the validator', async (headers) => {
      serve((incoming) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: '"a"', 'cache-control': 'max-age=60', age: '1' },
      }))
      expect(await twice({}, headers)).toEqual(['body 1', 'body 1'])
      expect(app.origin.headers[1]?.['if-none-match']).toBe('"a"')
    })

    it('no-store keeps nothing', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect(await twice({ 'cache-control': 'no-store' }, {})).toEqual(['body 1', 'body 2'])
    })

    it('only-if-cached is answered with 504 where nothing is stored, and never asks', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect((await app.edge.get('/app/a', { 'cache-control': 'only-if-cached' })).status).toBe(504)
      expect(app.origin.requests).toEqual([])
      await text()
      expect(await text('/app/a', { 'cache-control': 'only-if-cached' })).toBe('body 1')
    })
  })
})
