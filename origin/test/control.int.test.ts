import { originStatusSchema } from '@millrace/common/contracts/origin-api'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startOrigin, type TestOrigin, TOKEN, tempFolder } from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let origin: TestOrigin

beforeAll(async () => {
  folder = await tempFolder()
  origin = await startOrigin(folder.path)
})
afterAll(async () => {
  await origin?.stop()
  await folder?.remove()
})

const video = '0'.repeat(26)
async function ask(method: 'GET' | 'POST' | 'DELETE' | 'PUT', path: string, body?: string, headers: Record<string, string> = {}) {
  const answer = await request(`${origin.controlUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body }),
  })
  const text = await answer.body.text()
  return {
    status: answer.statusCode,
    type: answer.headers['content-type'],
    headers: answer.headers,
    json: text ? JSON.parse(text) : undefined,
  }
}

describe('the control API refuses', () => {
  it.each([
    [{}],
    [{ authorization: '' }],
    [{ authorization: 'Bearer wrong' }],
    [{ authorization: TOKEN }],
    [{ authorization: 'Basic abc' }],
  ])('a request with %j for its credentials, on every path', async (headers) => {
    for (const path of ['/v1/assets', '/v1/status', '/nowhere', `/v1/assets/${video}/r1`]) {
      const answer = await ask('GET', path, undefined, { authorization: '', ...headers })
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toBe('Bearer')
      expect(answer.json).toMatchObject({ code: 'unauthorized', retryable: false })
    }
  })

  it.each([
    ['escapes that are none', '/v1/assets/%zz/r1', 400],
    ['an id of 500 letters', `/v1/assets/${'a'.repeat(500)}/r1`, 414],
  ])('a URL with %s, as a problem document', async (_what, path, status) => {
    const answer = await ask('GET', path)
    expect([answer.status, answer.type]).toEqual([status, 'application/problem+json; charset=utf-8'])
    expect(answer.json).toMatchObject({ code: 'invalid-request', retryable: false })
  })

  it.each([
    ['a bad video id', 'GET', '/v1/videos/NOPE', undefined, 'videoId'],
    ['a bad revision', 'DELETE', `/v1/assets/${video}/r0`, undefined, 'rev'],
    ['a path out of the folder', 'DELETE', `/v1/assets/${video}/..%2f..%2fetc`, undefined, 'rev'],
    ['a bad cursor', 'GET', '/v1/assets?cursor=../x', undefined, 'cursor'],
    ['a page of nothing', 'GET', '/v1/assets?limit=0', undefined, 'limit'],
    ['a page of everything', 'GET', '/v1/assets?limit=100000', undefined, 'limit'],
    ['a commit without a sha256', 'POST', `/v1/assets/${video}/r1/commit`, '{"version":1}', 'assetSha256'],
    ['a commit of another version', 'POST', `/v1/assets/${video}/r1/commit`, `{"version":9,"assetSha256":"${'0'.repeat(64)}"}`, 'version'],
    ['a pull without a sibling', 'POST', `/v1/assets/${video}/r1/pull`, `{"version":1,"assetSha256":"${'0'.repeat(64)}"}`, 'from'],
  ] as const)('%s, naming the field', async (_what, method, path, body, field) => {
    const { status, type, json } = await ask(method, path, body)
    expect(status).toBe(400)
    expect(type).toContain('application/problem+json')
    expect(json).toMatchObject({ code: 'invalid-request', source: 'client', status: 400 })
    expect(json.detail).toContain(field)
  })

  it.each([
    ['broken JSON', '{', {}, 400],
    ['no body', '', {}, 400],
    ['another media type', 'x', { 'content-type': 'text/xml' }, 415],
    ['a huge body', JSON.stringify({ a: 'x'.repeat(100_000) }), {}, 413],
  ])('%s', async (_what, body, headers, status) => {
    const answer = await ask('POST', `/v1/assets/${video}/r1/commit`, body, headers)
    expect(answer.status).toBe(status)
    expect(answer.json).toMatchObject({ code: 'invalid-request' })
  })

  it('unknown paths and what it does not hold', async () => {
    expect(await ask('GET', '/v2/assets')).toMatchObject({ status: 404, json: { code: 'not-found' } })
    expect(await ask('PUT', `/v1/assets/${video}/r1`)).toMatchObject({ status: 404, json: { code: 'not-found' } })
    expect(await ask('GET', `/v1/assets/${video}/r1`)).toMatchObject({ status: 404, json: { code: 'not-found' } })
    expect(await ask('GET', '/v1/operations/none')).toMatchObject({ status: 404, json: { code: 'unknown-operation' } })
  })
})

describe('the control API', () => {
  it('tells its status', async () => {
    const { json } = await ask('GET', '/v1/status')
    const status = originStatusSchema.parse(json)
    expect(status).toMatchObject({ id: 'o1', packager: 'embedded', assets: 0, staged: 0, draining: false })
    expect(status.disk.freeBytes).toBeGreaterThan(0)
    expect(status.disk.totalBytes).toBeGreaterThan(status.disk.freeBytes)
  })

  it('knows no video as one without assets', async () => {
    expect((await ask('GET', `/v1/videos/${video}`)).json).toEqual({ videoId: video, assets: [], staged: [] })
  })
})
