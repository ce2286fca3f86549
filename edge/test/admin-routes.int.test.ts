import { once } from 'node:events'
import { connect } from 'node:net'
import { parseConfig } from '@millrace/common/config/load'
import { secret } from '@millrace/common/config/units'
import { edgeOriginsSchema, type PurgeRequest, purgeAnswerSchema } from '@millrace/common/contracts/edge-api'
import { MillraceError } from '@millrace/common/errors'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { createRegistry } from '@millrace/common/metrics/registry'
import { until } from '@millrace/common/testing/until'
import { type Dispatcher, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type AdminRoutesOptions, adminRoutes } from '../src/admin/routes.js'

const TOKEN = 'an-admin-token-of-the-tests'
const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const config = parseConfig(z.object({ id: z.string(), admin: z.object({ token: secret() }) }), { id: 'e1', admin: { token: TOKEN } })

describe('the admin routes', () => {
  let admin: Awaited<ReturnType<typeof startAdminServer>>
  let purges: PurgeRequest[]
  let errors: unknown[]
  let purged: () => Promise<{ generation: number; workers: number }>

  const start = async (options: Partial<AdminRoutesOptions> = {}) => {
    admin = await startAdminServer({
      listen: { host: '127.0.0.1', port: 0 },
      registry: createRegistry({ service: 'edge', id: 'e1' }),
      ready: {},
      handle: adminRoutes({
        token: TOKEN,
        status: async () => ({
          id: 'e1',
          version: '1',
          requests: { hit: 3 },
          bytesSent: 9,
          cache: { objects: 1, bytes: 2, maxBytes: 3, evictedBytes: 4 },
        }),
        config: () => config,
        origins: () => [{ id: 'o1', url: 'http://10.0.0.1:80', up: false }],
        purge: (asked) => {
          purges.push(asked)
          return purged()
        },
        onError: (error) => errors.push(error),
        body: { maxBytes: 64 * 1024, timeoutMs: 100 },
        ...options,
      }),
    })
  }
  beforeEach(() => {
    purges = []
    errors = []
    purged = async () => ({ generation: 17, workers: 2 })
  })
  afterEach(() => admin.close())

  const ask = async (path: string, options: { method?: Dispatcher.HttpMethod; token?: string | null; body?: string } = {}) => {
    const { method = 'GET', token = TOKEN, body = null } = options
    const headers = token === null ? {} : { authorization: `Bearer ${token}` }
    const answer = await request(`http://127.0.0.1:${admin.address.port}${path}`, { method, headers, body })
    const text = await answer.body.text()
    return { status: answer.statusCode, headers: answer.headers, text, json: text === '' ? undefined : JSON.parse(text) }
  }
  const purge = (body: unknown, token: string | null = TOKEN) => ask('/v1/purge', { method: 'POST', token, body: JSON.stringify(body) })

  it('refuse every purge where no token is configured', async () => {
    await start({ token: undefined })
    for (const token of [null, TOKEN, '']) {
      const answer = await purge({ version: 1, scope: 'all' }, token)
      expect([answer.status, answer.json.code, answer.headers['content-type']]).toEqual([
        403,
        'admin-token-missing',
        'application/problem+json',
      ])
    }
    expect(purges).toEqual([])
    expect((await ask('/v1/status', { token: null })).status).toBe(200)
  })

  it.each(['/v1/purge', '/v1/status', '/v1/config', '/v1/origins'])('refuse %s without the right token', async (path) => {
    await start()
    const method = path === '/v1/purge' ? 'POST' : 'GET'
    for (const token of [null, '', `${TOKEN}x`, TOKEN.slice(1)]) {
      const answer = await ask(path, { method, token, ...(method === 'POST' && { body: '{"version":1,"scope":"all"}' }) })
      expect([answer.status, answer.json.code, answer.headers['www-authenticate']]).toEqual([401, 'unauthorized', 'Bearer'])
    }
    expect(purges).toEqual([])
  })

  it.each([
    ['no JSON', 'all'],
    ['an empty body', ''],
    ['no version', '{"scope":"all"}'],
    ['another version', '{"version":2,"scope":"all"}'],
    ['an unknown scope', '{"version":1,"scope":"everything"}'],
    ['a video without its id', '{"version":1,"scope":"video"}'],
    ['a video id that is none', '{"version":1,"scope":"video","videoId":"../../x"}'],
    ['a revision that is none', `{"version":1,"scope":"revision","videoId":"${VIDEO}","rev":"1"}`],
    ['an absolute URL', '{"version":1,"scope":"url","url":"http://edge/a"}'],
    ['a URL with a line feed', '{"version":1,"scope":"url","url":"/a\\nb"}'],
    ['a URL with a fragment', '{"version":1,"scope":"url","url":"/a#b"}'],
  ])('refuse a purge with %s', async (_what, body) => {
    await start()
    const answer = await ask('/v1/purge', { method: 'POST', body })
    expect([answer.status, ['bad-json', 'bad-purge'].includes(answer.json.code)]).toEqual([400, true])
    expect([purges, errors]).toEqual([[], []])
  })

  it('refuse a body that is too large, and read no more of it', async () => {
    await start()
    const answer = await purge({ version: 1, scope: 'all', padding: 'x'.repeat(65 * 1024) })
    expect([answer.status, answer.json.code, answer.headers.connection]).toEqual([413, 'body-too-large', 'close'])
  })

  it('give up on a body that does not come, and close', async () => {
    await start()
    const socket = connect(admin.address.port, '127.0.0.1')
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    socket.write(`POST /v1/purge HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 30\r\n\r\n{"ver`)
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"body-too-slow"/)
    expect(purges).toEqual([])
  })

  it('outlive a client that leaves in mid-body', async () => {
    await start()
    const socket = connect(admin.address.port, '127.0.0.1')
    socket.write(`POST /v1/purge HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 30\r\n\r\n{"ver`)
    await until(
      'the request to be in progress',
      () => new Promise<boolean>((resolve) => admin.server.getConnections((_e, n) => resolve(n > 0))),
    )
    socket.destroy()
    expect((await purge({ version: 1, scope: 'all' })).status).toBe(200)
    expect([purges.length, errors]).toEqual([1, []])
  })

  it('answer 503 when a worker does not confirm in time, and tell of what comes of it later', async () => {
    await start({ purgeTimeoutMs: 20 })
    let fail!: (error: Error) => void
    purged = () => new Promise((_resolve, reject) => (fail = reject))
    const answer = await purge({ version: 1, scope: 'all' })
    expect([answer.status, answer.json.code, answer.json.retryable, answer.headers['retry-after']]).toEqual([
      503,
      'purge-timeout',
      true,
      '1',
    ])
    fail(new Error('late'))
    await until('the late failure', () => errors.length === 2)
    expect((errors[1] as Error).message).toBe('late')
  })

  it('answer a purge that no disk took with its code, and an unknown failure without its words', async () => {
    await start()
    purged = async () => {
      throw new MillraceError('no disk', { code: 'purge-not-saved', source: 'disk', retryable: true })
    }
    expect(await purge({ version: 1, scope: 'all' })).toMatchObject({ status: 507, json: { code: 'purge-not-saved' } })
    purged = async () => {
      throw new Error('/var/lib/secret-path')
    }
    const answer = await purge({ version: 1, scope: 'all' })
    expect([answer.status, answer.text.includes('secret-path'), errors.length]).toEqual([500, false, 2])
  })

  it.each([
    ['/v1/purge', 'GET', 'POST'],
    ['/v1/purge', 'DELETE', 'POST'],
    ['/v1/status', 'POST', 'GET, HEAD'],
    ['/v1/config', 'PUT', 'GET, HEAD'],
  ] as const)('answer %s to %s with 405 and what is allowed', async (path, method, allow) => {
    await start()
    const answer = await ask(path, { method })
    expect([answer.status, answer.json.code, answer.headers.allow]).toEqual([405, 'method-not-allowed', allow])
  })

  it.each(['/v1/', '/v1/purge/', '/v1/constructor', '/v1/__proto__', '/v1/drain'])('answer %s with 404', async (path) => {
    await start()
    expect(await ask(path)).toMatchObject({ status: 404, json: { code: 'not-found' } })
  })

  it('show the configuration without its secrets', async () => {
    await start()
    const answer = await ask('/v1/config')
    expect(answer.json).toEqual({ id: 'e1', admin: { token: '[secret]' } })
    expect(answer.text).not.toContain(TOKEN)
  })

  it('tell of status and of the health of origins, also to HEAD, with any query', async () => {
    await start()
    expect(edgeOriginsSchema.parse((await ask('/v1/origins?x=1')).json).origins).toEqual([
      { id: 'o1', url: 'http://10.0.0.1:80', up: false },
    ])
    expect((await ask('/v1/status')).json).toMatchObject({ id: 'e1', requests: { hit: 3 } })
    expect(await ask('/v1/status', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
  })

  it.each<[PurgeRequest]>([
    [{ version: 1, scope: 'all' }],
    [{ version: 1, scope: 'video', videoId: VIDEO, block: true }],
    [{ version: 1, scope: 'revision', videoId: VIDEO, rev: 'r3' }],
    [{ version: 1, scope: 'url', url: '/shop/list?page=2&sort=a%20b' }],
  ])('carry out a purge of %o', async (body) => {
    await start()
    const answer = await purge(body)
    expect(purgeAnswerSchema.parse(answer.json)).toEqual({ version: 1, generation: 17, workers: 2 })
    expect([answer.status, purges]).toEqual([200, [body]])
  })
})
