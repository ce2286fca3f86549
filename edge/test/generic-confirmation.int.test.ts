import { describe, expect, it } from 'vitest'
import { cacheFiles } from './edge.js'
import { genericSite } from './generic-site.js'

const FRESH = { 'cache-control': 'max-age=60', etag: '"a"' }

describe('a 304', () => {
  const site = genericSite()
  /** Answers with what is stored, for a minute; then conditions with a 304 of these fields, and what asks without one with these too. */
  const expired = async (fields: Record<string, string>, first: Record<string, string> = FRESH) => {
    site.serve((request, count) => ({
      status: request.headers['if-none-match'] ? 304 : 200,
      headers: count === 1 ? first : { ...first, ...fields },
    }))
    await site.ask()
    site.forward(61_000)
  }

  it('with another Vary confirms nothing: the whole is filed by what it says', async () => {
    await expired({ vary: 'foo' })
    expect(await site.ask({ foo: '1' })).toEqual(['body 3', 'miss'])
    expect(await site.ask({ foo: '1' })).toEqual(['body 3', 'hit'])
    expect(await site.ask({ foo: '2' })).toEqual(['body 4', 'miss'])
    expect(await site.ask({ foo: '1' })).toEqual(['body 3', 'hit'])
  })

  it('with Vary: * leaves nothing stored', async () => {
    await expired({ vary: '*' })
    expect(await site.ask()).toEqual(['body 3', 'bypass'])
    expect((await cacheFiles(site.folder)).entries).toEqual([])
  })

  it.each(['private', 'no-store'])('with %s leaves nothing stored, also where the origin fails right after', async (directive) => {
    site.serve((request, count) => {
      if (count === 1) return { headers: { ...FRESH, 'cache-control': 'max-age=60, stale-if-error=600' } }
      return request.headers['if-none-match'] ? { status: 304, headers: { 'cache-control': directive } } : { status: 500 }
    })
    await site.ask()
    site.forward(61_000)
    for (let i = 0; i < 2; i++) expect((await site.edge.get('/app/a')).status).toBe(500)
    await site.edge.idle()
    expect((await cacheFiles(site.folder)).entries).toEqual([])
  })

  it('to an authorized request is shared where the origin allows that', async () => {
    await expired({}, { ...FRESH, 'cache-control': 'public, max-age=60' })
    expect(await site.ask({ authorization: 'Basic eA==' })).toEqual(['body 1', 'revalidated'])
    expect(await site.ask()).toEqual(['body 1', 'hit'])
  })

  it('to an authorized request is for nobody else, and what is stored stays as it was', async () => {
    await expired({})
    expect(await site.ask({ authorization: 'Basic eA==' })).toEqual(['body 2', 'bypass'])
    expect(await site.ask()).toEqual(['body 1', 'revalidated'])
  })

  it('to an authorized request that no longer allows sharing is for nobody else', async () => {
    await expired({ 'cache-control': 'max-age=60' }, { ...FRESH, 'cache-control': 'public, max-age=60' })
    expect(await site.ask({ authorization: 'Basic eA==' })).toEqual(['body 3', 'bypass'])
    expect(await site.ask()).toEqual(['body 1', 'revalidated'])
  })
})
