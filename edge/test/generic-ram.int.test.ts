import { describe, expect, it } from 'vitest'
import { scene } from './scene.js'

const PAGE = '/app/page'

describe('a generic response that is asked for again', () => {
  const at = scene({ paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
  let version = 1
  /** How far the edge's clock is ahead of this one. */
  let ahead = 0
  const serve = (headers: Record<string, string>) =>
    at.o1.behave((request, response) => {
      const body = `${request.headers['accept-language'] ?? ''} ${version}`
      const etag = `"${version}"`
      const confirmed = request.headers['if-none-match'] === etag
      const date = new Date(Date.now() + ahead).toUTCString()
      response.writeHead(confirmed ? 304 : 200, { date, etag, ...headers, ...(!confirmed && { 'content-length': body.length }) })
      response.end(confirmed ? undefined : body)
    })
  const ask = async (method = 'GET', fields: Record<string, string> = {}) => {
    const { status, headers, body } = await at.edge.get(PAGE, fields, method)
    await at.edge.idle()
    return `${status} ${headers['x-cache']} ${body}`
  }
  const fromRam = () => at.edge.count('sent_bytes_total', { name: 'tier', value: 'ram' })

  it('is not given from RAM as it was, once an unsafe request or a reload has changed it', async () => {
    version = 1
    serve({ 'cache-control': 'max-age=600' })
    await ask()
    for (let hit = 0; hit < 3; hit++) expect(await ask()).toBe('200 hit  1')
    expect(await fromRam()).toBeGreaterThan(0)
    version = 2
    await ask('POST')
    expect(await ask()).toBe('200 miss  2')
    for (let hit = 0; hit < 3; hit++) expect(await ask()).toBe('200 hit  2')
    version = 3
    expect(await ask('GET', { 'cache-control': 'no-cache' })).toMatch(/ {2}3$/)
    expect(await ask()).toBe('200 hit  3')
  })

  it('is not fresh from RAM when it has expired, and is again with the new lifetime that a 304 gave it', async () => {
    version = 1
    serve({ 'cache-control': 'max-age=60' })
    await ask()
    for (let hit = 0; hit < 3; hit++) expect(await ask()).toBe('200 hit  1')
    ahead = 61_000
    at.forward(ahead)
    expect(await ask()).toBe('200 revalidated  1')
    expect(await ask()).toBe('200 hit  1')
    expect(at.o1.requests.length).toBe(2)
    ahead = 0
  })

  it('comes from RAM, with each of its variants', async () => {
    version = 1
    serve({ 'cache-control': 'max-age=600', vary: 'accept-language' })
    const languages = ['de', 'fr']
    for (const language of languages) await ask('GET', { 'accept-language': language })
    for (let hit = 0; hit < 3; hit++)
      for (const language of languages) expect(await ask('GET', { 'accept-language': language })).toBe(`200 hit ${language} 1`)
    expect([await fromRam(), at.o1.requests.length]).toEqual([4 * 'de 1'.length, 2])
  })
})
