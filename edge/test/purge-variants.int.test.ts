import { describe, expect, it } from 'vitest'
import { scene } from './scene.js'

const PAGE = '/app/page?id=1'
const LANGUAGES = ['de', 'en', 'fr']

describe('a purge of the exact URL of a generic path', () => {
  const at = scene({ paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
  const ask = async (path: string, language: string) => {
    const { status, headers, body } = await at.edge.get(path, { 'accept-language': language })
    await at.edge.idle()
    return `${status} ${headers['x-cache']} ${body}`
  }
  /** Every page in every language, which tells which of its versions it is. */
  const store = async (paths: readonly string[]) => {
    let version = 1
    at.o1.behave((request, response) => {
      const body = `${request.url} ${request.headers['accept-language']} ${version}`
      response.writeHead(200, { 'content-length': body.length, vary: 'accept-language', 'cache-control': 'max-age=600' }).end(body)
    })
    for (const path of paths) {
      for (const language of LANGUAGES) expect(await ask(path, language)).toBe(`200 miss ${path} ${language} 1`)
      for (const language of LANGUAGES) expect(await ask(path, language)).toBe(`200 hit ${path} ${language} 1`)
    }
    version = 2
  }

  it('leaves other queries, other paths and no query alone, with all their variants', async () => {
    const others = ['/app/page?id=2', '/app/page?id=1&x', '/app/page', '/app/page2?id=1']
    await store([PAGE, ...others])
    await at.purge({ scope: 'url', url: PAGE })
    for (const path of others) for (const language of LANGUAGES) expect(await ask(path, language)).toBe(`200 hit ${path} ${language} 1`)
  })

  it.each([false, true])('takes every variant of it (after a restart: %s)', async (restarted) => {
    await store([PAGE])
    await at.purge({ scope: 'url', url: PAGE })
    if (restarted) await at.restart()
    for (const language of LANGUAGES) expect(await ask(PAGE, language)).toBe(`200 miss ${PAGE} ${language} 2`)
  })

  it.each(['url', 'all', 'POST'])('lets the successors of its variants be stored (%s)', async (how) => {
    await store([PAGE])
    if (how === 'POST') await at.edge.get(PAGE, {}, 'POST')
    else await at.purge(how === 'all' ? { scope: 'all' } : { scope: 'url', url: PAGE })
    for (const language of LANGUAGES) expect(await ask(PAGE, language)).toBe(`200 miss ${PAGE} ${language} 2`)
    for (const language of LANGUAGES) expect(await ask(PAGE, language)).toBe(`200 hit ${PAGE} ${language} 2`)
  })
})
