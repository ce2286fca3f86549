import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { raw, segment } from './edge.js'
import { scene } from './scene.js'

const TOKEN = { authorization: 'Bearer an-admin-token-of-the-tests' }
const ADMIN_PATHS = ['/metrics', '/healthz', '/readyz', '/v1/status', '/v1/config', '/v1/origins']

/** As it stands: nothing resolves the dots of its path. */
function ask(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\nAuthorization: ${TOKEN.authorization}\r\n\r\n`
}

describe('the public and the admin listener', () => {
  const at = scene({ paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })

  it.each([...ADMIN_PATHS, '/app/../metrics', '/o1/../v1/status', '/app/%2e%2e/v1/config'])(
    'are apart: %s is refused on the public one, with the token too',
    async (path) => {
      const { text } = await raw(at.edge.port, ask(path))
      expect(text).toMatch(/^HTTP\/1\.1 40[04] /)
      expect(text).toContain('\r\nx-cache: refused\r\n')
      expect(text).toMatch(/\r\n\r\n\{"type":[^\n]*"code":"[a-z-]+"[^\n]*\}\n$/)
      expect(at.o1.requests).toEqual([])
    },
  )

  it('are apart: a purge on the public one is refused and purges nothing', async () => {
    await at.edge.get(`/o1${segment(1)}`)
    await at.edge.idle()
    const asked = JSON.stringify({ version: 1, scope: 'all' })
    const { statusCode, body } = await request(`${at.edge.url}/v1/purge`, { method: 'POST', headers: TOKEN, body: asked })
    await body.dump()
    expect(statusCode).toBe(405)
    expect((await at.edge.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('hit')
  })

  it.each([`/o1${segment(1)}`, '/app/a', `/metrics/../o1${segment(1)}`, `//o1${segment(1)}`])(
    'are apart: %s is not found on the admin one, and no origin is asked',
    async (path) => {
      const { text } = await raw(Number(new URL(at.edge.adminUrl).port), ask(path))
      expect(text).toMatch(/^HTTP\/1\.1 404 /)
      expect(text).not.toContain('x-cache')
      expect([at.o1.requests, at.o2.requests]).toEqual([[], []])
    },
  )

  it('answer what is theirs', async () => {
    expect((await at.edge.get(`/o1${segment(1)}`)).status).toBe(200)
    for (const path of ADMIN_PATHS) {
      const { statusCode, body } = await request(at.edge.adminUrl + path, { headers: TOKEN })
      await body.dump()
      expect([path, statusCode]).toEqual([path, 200])
    }
  })
})
