import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { genericSite } from './generic-site.js'

const RELOAD = { 'cache-control': 'no-cache' }
const FRESH = { 'cache-control': 'max-age=60', etag: '"a"' }

describe('a request that wants a fresh response confirmed', () => {
  const site = genericSite()
  const purges = () => readFile(join(site.folder, 'purges.jsonl'), 'utf8')

  it.each([401, 403, 406, 429, 500, 503])('leaves it as it is when it is answered with %i', async (status) => {
    site.serve((request) => (request.headers['cache-control'] ? { status } : { headers: FRESH }))
    await site.ask()
    const before = await purges()
    expect((await site.edge.get('/app/a', RELOAD)).status).toBe(status)
    await site.edge.idle()
    expect(await site.ask()).toEqual(['body 1', 'hit'])
    site.forward(61_000)
    // Nor does it say of others that they can't be cached.
    expect(await site.ask()).toEqual(['body 3', 'miss'])
    expect(await purges()).toBe(before)
  })

  it('leaves it as it is when the origin cannot be reached, and is not served it', async () => {
    site.serve(() => ({ headers: FRESH }))
    await site.ask()
    await site.origin.stop()
    expect((await site.edge.get('/app/a', RELOAD)).status).toBe(502)
    expect(await site.ask()).toEqual(['body 1', 'hit'])
  })

  it.each([404, 410])('drops it when it is answered with %i', async (status) => {
    site.serve((request) => (request.headers['cache-control'] ? { status } : { headers: FRESH }))
    await site.ask()
    const before = await purges()
    await site.ask(RELOAD)
    expect(await site.ask()).toEqual(['body 3', 'miss'])
    expect(await purges()).toBe(before)
  })

  it('makes it fresh for everybody by a 304', async () => {
    site.serve((request) => ({ status: request.headers['if-none-match'] ? 304 : 200, headers: FRESH }))
    await site.ask()
    site.forward(50_000)
    expect(await site.ask(RELOAD)).toEqual(['body 1', 'revalidated'])
    site.forward(50_000)
    expect(await site.ask()).toEqual(['body 1', 'hit'])
  })

  it.each([FRESH, { 'cache-control': 'max-age=60' }])('replaces it for everybody by a 200 (%j)', async (headers) => {
    site.serve(() => ({ headers }))
    await site.ask()
    expect(await site.ask(RELOAD)).toEqual(['body 2', 'miss'])
    expect(await site.ask()).toEqual(['body 2', 'hit'])
  })

  it('by HEAD goes to the origin, and changes nothing', async () => {
    site.serve(() => ({ headers: FRESH }))
    await site.ask()
    expect((await site.edge.get('/app/a', RELOAD, 'HEAD')).headers['x-cache']).toBe('bypass')
    expect(await site.ask()).toEqual(['body 1', 'hit'])
  })
})
