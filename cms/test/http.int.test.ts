import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { parseConfig } from '@millrace/common/config/load'
import type { NodeList, Video, VideoPage } from '@millrace/common/contracts/cms-api'
import type { Playback } from '@millrace/common/contracts/playback'
import { PROGRESS_CHANNEL } from '@millrace/common/contracts/redis'
import { parseRoute, verifyRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CmsApp } from '../src/app.js'
import { configSchema } from '../src/config.js'
import { apiOf, event, INTERNAL_TOKEN, TestFleet } from './fleet.js'

const KEY = 'route-key-0123456789abcdef'
let fleet: TestFleet
let app: CmsApp
let api: ReturnType<typeof apiOf>

beforeAll(async () => {
  fleet = await new TestFleet().start()
  app = await fleet.startCms({ routes: { keys: { k1: KEY }, sign: 'k1' }, events: { maxListeners: 2 } })
  api = apiOf(app.url)
}, 180_000)
afterAll(() => fleet.stop())

const sourcesFolder = () => join(fleet.folder, 'sources')
/** Every file below the sources folder. */
async function stored(): Promise<string[]> {
  const entries = await readdir(sourcesFolder(), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

/** What a raw request gets: its status line's code. */
function raw(text: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(app.address.port, '127.0.0.1', () => socket.write(text))
    socket.once('data', (data) => {
      socket.destroy()
      resolve(Number(data.toString().split(' ')[1]))
    })
    socket.once('error', reject)
  })
}

describe('an upload', () => {
  it('that is broken off leaves nothing', async () => {
    const before = await stored()
    const socket = connect(app.address.port, '127.0.0.1')
    socket.write(
      'POST /api/v1/videos?filename=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n',
    )
    socket.write(randomBytes(100_000))
    await until('the upload to have begun', async () => (await stored()).length > before.length)
    socket.destroy()
    await until('its file to be gone', async () => (await stored()).length === before.length)
    expect((await api.call<VideoPage>('GET', '/api/v1/videos')).body.items).toEqual([])
  })

  it('that says that it is too large is refused with 413 and leaves nothing', async () => {
    const response = await api.upload(new Uint8Array(1024 * 1024 + 1))
    expect([response.status, await response.json()]).toMatchObject([413, { code: 'source-too-large' }])
    expect(await stored()).toEqual([])
  })

  it('that turns out too large is refused with 413 and leaves nothing', async () => {
    const chunks = Array.from({ length: 20 }, () => randomBytes(100_000))
    const head =
      'POST /api/v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
    const body = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`).join('')
    const socket = connect(app.address.port, '127.0.0.1')
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
    socket.on('error', () => undefined)
    socket.write(head)
    socket.write(Buffer.from(body, 'latin1'))
    expect(await answer).toContain('413')
    socket.destroy()
    expect(await stored()).toEqual([])
  })

  it('without a byte is refused', async () => {
    const response = await api.upload('')
    expect([response.status, await response.json()]).toMatchObject([400, { code: 'empty-upload' }])
    expect(await stored()).toEqual([])
  })

  it('of another type is refused', async () => {
    const response = await api.upload('<html>', 'filename=a', { 'content-type': 'text/html' })
    expect([response.status, await response.json()]).toMatchObject([415, { code: 'unsupported-media-type' }])
  })

  it('with control characters in its name is refused', async () => {
    expect((await api.upload('x', 'filename=a%00b')).status).toBe(400)
    expect((await api.upload('x', 'title=a%0Ab')).status).toBe(400)
    expect(await stored()).toEqual([])
  })

  it('is stored, queued, and given to transcoders with ranges', async () => {
    const bytes = randomBytes(5000)
    const video = (await (await api.upload(bytes, 'filename=..%2F..%2Fmy.film.mp4')).json()) as Video
    expect(video).toMatchObject({ title: 'my.film', source: { kind: 'stored', name: 'my.film.mp4', bytes: 5000 } })
    expect(await readFile(join(sourcesFolder(), video.id))).toEqual(bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const job = await fleet.queued(`${video.id}-1`)
    expect(job?.source).toMatchObject({ kind: 'stored', bytes: 5000, sha256, path: `/internal/v1/sources/${video.id}` })

    const get = (headers: Record<string, string>, method = 'GET') =>
      fetch(`${app.url}/internal/v1/sources/${video.id}`, { method, headers: { authorization: `Bearer ${INTERNAL_TOKEN}`, ...headers } })
    expect((await fetch(`${app.url}/internal/v1/sources/${video.id}`)).status).toBe(401)
    const whole = await get({})
    expect([whole.status, whole.headers.get('etag'), whole.headers.get('content-length')]).toEqual([200, `"${sha256}"`, '5000'])
    expect(Buffer.from(await whole.arrayBuffer())).toEqual(bytes)
    const rest = await get({ range: 'bytes=4000-', 'if-range': `"${sha256}"` })
    expect([rest.status, rest.headers.get('content-range')]).toEqual([206, 'bytes 4000-4999/5000'])
    expect(Buffer.from(await rest.arrayBuffer())).toEqual(bytes.subarray(4000))
    expect((await get({ range: 'bytes=4000-', 'if-range': '"other"' })).status).toBe(200)
    expect((await get({ range: 'bytes=5000-' })).status).toBe(416)
    const head = await get({}, 'HEAD')
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '5000'])

    await api.call('DELETE', `/api/v1/videos/${video.id}`)
    expect(await stored()).toEqual([])
    expect((await get({})).status).toBe(404)
  })
})

describe('a bad request', () => {
  const id = '0'.repeat(26)
  it.each([
    ['GET', `/api/v1/videos/${id}`, 404],
    ['GET', `/api/v1/videos/${id}/playback`, 404],
    ['POST', `/api/v1/videos/${id}/retry`, 404],
    ['POST', `/api/v1/videos/${id}/cancel`, 404],
    ['DELETE', `/api/v1/videos/${id}`, 404],
    ['GET', `/play/${id}/main.m3u8`, 404],
    ['GET', `/play/${id}/main.mpd`, 404],
    ['GET', `/play/${id}/steering`, 404],
    ['GET', '/api/v1/videos/not-an-id', 400],
    ['GET', '/api/v1/videos?limit=0', 400],
    ['GET', '/api/v1/videos?state=happy', 400],
    ['PUT', '/api/v1/videos', 404],
    ['PATCH', `/api/v1/videos/${id}`, 404],
    ['GET', '/nothing', 404],
    ['GET', '/%zz', 400],
    ['GET', `/api/v1/videos/${'a'.repeat(9000)}`, 404],
    ['GET', `/${'a'.repeat(9000)}`, 404],
  ])('%s %s gets a problem document', async (method, path, status) => {
    const response = await fetch(`${app.url}${path}`, { method })
    expect([response.status, response.headers.get('content-type')]).toEqual([status, 'application/problem+json'])
    expect(await response.json()).toMatchObject({ status, code: expect.any(String), source: 'client', retryable: false })
  })

  it.each([
    ['GET /../../etc/passwd HTTP/1.1', ''],
    ['GET /assets/../../package.json HTTP/1.1', ''],
    ['GET /%2e%2e/%2e%2e/package.json HTTP/1.1', ''],
    ['GET /..%2f..%2fpackage.json HTTP/1.1', ''],
    ['GET /internal/v1/sources/..%2f..%2fdb%2fdata HTTP/1.1', `Authorization: Bearer ${INTERNAL_TOKEN}\r\n`],
    ['POST /api/v1/videos HTTP/1.1', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'],
    ['POST /api/v1/videos HTTP/1.1', 'Content-Length: 1\r\nContent-Length: 2\r\n'],
    ['POST /api/v1/videos HTTP/1.1', 'Transfer-Encoding: xchunked\r\n'],
  ])('%s with %j never gets a file or a 5xx', async (line, header) => {
    const status = await raw(`${line}\r\nHost: localhost\r\n${header}\r\n`)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
  })

  it.each([
    [{ url: 'ftp://example.com/a' }],
    [{ url: 'not a url' }],
    [{}],
    [[]],
    [{ url: 'http://example.com/a', title: 'a\u0000b' }],
    [{ url: 'http://example.com/a', title: '' }],
    [{ url: `http://example.com/${'a'.repeat(5000)}` }],
    [{ url: `http://example.com/${'ü'.repeat(2000)}` }],
  ])('to create from %j gets 400', async (body) => {
    expect(await api.call('POST', '/api/v1/videos', body)).toMatchObject({ status: 400, body: { code: 'invalid-request' } })
  })

  it('with JSON that is huge, broken or deep gets a 4xx', async () => {
    for (const [body, status] of [
      ['{"url":', 400],
      [`{"url":"${'a'.repeat(100_000)}"}`, 413],
      ['['.repeat(30_000), 400],
      [`{"url":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, 400],
    ] as const) {
      const response = await fetch(`${app.url}/api/v1/videos`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
      expect(response.status).toBe(status)
    }
  })

  it('from another site, or under another name, is refused while there is no token', async () => {
    const { id: video } = await api.create()
    const cross = await fetch(`${app.url}/api/v1/videos/${video}/cancel`, { method: 'POST', headers: { origin: 'http://evil.test' } })
    expect([cross.status, (await cross.json()) as unknown]).toMatchObject([403, { code: 'cross-origin' }])
    expect(await raw('GET /api/v1/videos HTTP/1.1\r\nHost: evil.test\r\n\r\n')).toBe(403)
    await api.call('DELETE', `/api/v1/videos/${video}`)
  })
})

describe('the list', () => {
  it('is paged, newest first, and filtered by state', async () => {
    const ids: string[] = []
    for (let count = 0; count < 3; count++) {
      const before = ids.at(-1)
      // Ids of one millisecond are in random order.
      const { id } = await until('a later id', async () => {
        const made = await api.create()
        return !before || made.id > before ? made : undefined
      })
      ids.push(id)
    }
    const first = (await api.call<VideoPage>('GET', '/api/v1/videos?limit=2&state=queued')).body
    expect(first.items.map((video) => video.id)).toEqual([ids[2], ids[1]])
    const second = (await api.call<VideoPage>('GET', `/api/v1/videos?limit=2&state=queued&cursor=${first.next}`)).body
    expect([second.items.map((video) => video.id), second.next]).toEqual([[ids[0]], undefined])
    for (const id of ids) await api.call('DELETE', `/api/v1/videos/${id}`)
  })
})

describe('playback', () => {
  let id: string
  const text = async (path: string) => {
    const response = await fetch(`${app.url}${path}`)
    return { status: response.status, headers: response.headers, body: await response.text() }
  }
  const order = async () =>
    (JSON.parse((await text(`/play/${id}/steering?_DASH_pathway="e1"`)).body) as { 'PATHWAY-PRIORITY': string[] })['PATHWAY-PRIORITY']

  beforeAll(async () => {
    id = (await api.create()).id
    expect(await api.call('GET', `/api/v1/videos/${id}/playback`)).toMatchObject({
      status: 409,
      body: { code: 'not-playable', title: 'the video is queued' },
    })
    for (const origin of fleet.origins) origin.assets.add(`${id}/r1`)
    await fleet.say(event('published', id, 1))
    await api.becomes(id, 'ready')
  })

  it('names every healthy edge, with a signed route of the holders', async () => {
    const { body } = await api.call<Playback>('GET', `/api/v1/videos/${id}/playback`)
    const route = parseRoute(body.route)!
    expect(route.origins.toSorted()).toEqual(['o1', 'o2'])
    expect(verifyRoute(route, id, 'r1', new Map([['k1', Buffer.from(KEY)]]), Date.now() / 1000)).toBe('valid')
    expect(body.steered.hls).toBe(`${app.url}/play/${id}/main.m3u8`)
    expect(body.edges.map((edge) => edge.id).toSorted()).toEqual(['e1', 'e2'])
    const e1 = body.edges.find((edge) => edge.id === 'e1')
    expect(e1).toEqual({
      id: 'e1',
      hls: `http://e1.test/${body.route}/files/${id}/r1/main.m3u8`,
      dash: `http://e1.test/${body.route}/files/${id}/r1/main.mpd`,
      poster: `http://e1.test/${body.route}/files/${id}/r1/poster.jpg`,
    })
  })

  it('has steered manifests for players anywhere', async () => {
    const hls = await text(`/play/${id}/main.m3u8`)
    expect([hls.status, hls.headers.get('content-type'), hls.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'application/vnd.apple.mpegurl',
      '*',
    ])
    expect(hls.body).toContain(`#EXT-X-CONTENT-STEERING:SERVER-URI="/play/${id}/steering"`)
    expect(hls.body.match(/PATHWAY-ID="e[12]"\nhttp:\/\/e[12]\.test\//g)).toHaveLength(2)
    const dash = await text(`/play/${id}/main.mpd`)
    expect([dash.status, dash.headers.get('content-type')]).toEqual([200, 'application/dash+xml'])
    expect(dash.body.match(/<BaseURL serviceLocation="e[12]">/g)).toHaveLength(2)
    expect((await fetch(`${app.url}/api/v1/videos`)).headers.get('access-control-allow-origin')).toBeNull()
    expect((await text(`/play/${'0'.repeat(26)}/main.mpd`)).headers.get('access-control-allow-origin')).toBe('*')
  })

  it('leaves a dead edge out, and lists all when none seems alive', async () => {
    expect((await order()).toSorted()).toEqual(['e1', 'e2'])
    fleet.edges[0].ready = false
    await until('e1 to be left out', async () => (await order()).join() === 'e2')
    expect((await text(`/play/${id}/main.m3u8`)).body).not.toContain('e1.test')
    await fleet.edges[1].stop()
    await until('all to be listed', async () => (await order()).length === 2)
    const { body } = await api.call<NodeList>('GET', '/api/v1/nodes')
    expect(body.edges.map((edge) => edge.healthy)).toEqual([false, false])
    fleet.edges[0].ready = true
    await fleet.edges[1].start()
    await until('both to be back', async () => (await api.call<NodeList>('GET', '/api/v1/nodes')).body.edges.every((edge) => edge.healthy))
  })

  it('goes on from the database when no origin answers', async () => {
    await Promise.all(fleet.origins.map((origin) => origin.stop()))
    expect((await text(`/play/${id}/main.m3u8`)).status).toBe(200)
    expect((await api.call('GET', `/api/v1/videos/${id}/playback`)).status).toBe(200)
    await Promise.all(fleet.origins.map((origin) => origin.start()))
  })
})

describe('the event feed', () => {
  it('tells changes and progress, and takes only so many listeners', async () => {
    const listeners = await Promise.all([1, 2].map(() => fetch(`${app.url}/api/v1/events`)))
    expect((await fetch(`${app.url}/api/v1/events`)).status).toBe(503)
    const [first, second] = listeners as [Response, Response]
    await second.body?.cancel()
    const reader = first.body!.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ''
    const hears = async (part: string) => {
      while (!heard.includes(part)) {
        const { done, value } = await reader.read()
        if (done) throw new Error(`the feed ended before ${part}`)
        heard += value
      }
    }
    const { id } = await api.create()
    await hears(`event: video\ndata: {"id":"${id}"`)
    const progress = {
      version: 1,
      videoId: id,
      rev: 'r1',
      transcoderId: 't1',
      stage: 'encode',
      fraction: 0.5,
      at: new Date().toISOString(),
    }
    await fleet.redis.publish(PROGRESS_CHANNEL, 'not json')
    await fleet.redis.publish(PROGRESS_CHANNEL, JSON.stringify(progress))
    await hears('event: progress\ndata: {"version":1')
    await reader.cancel()
    await api.call('DELETE', `/api/v1/videos/${id}`)
  })
})

describe('the service', () => {
  it('serves its page, players and documentation under a strict policy', async () => {
    const page = await fetch(`${app.url}/`)
    const html = await page.text()
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'self'.*frame-ancestors 'none'/)
    // The page may also be opened as localhost: its manifests are then another origin's.
    expect(page.headers.get('content-security-policy')).toContain(` ${app.url};`)
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|\son[a-z]+=|style="/)
    const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path!)
    expect(files.length).toBeGreaterThan(4)
    for (const path of files) expect([path, (await fetch(`${app.url}${path}`)).status]).toEqual([path, 200])
    const spec = (await (await fetch(`${app.url}/docs/json`)).json()) as {
      paths: Record<string, { post?: { requestBody: { content: object } } }>
    }
    expect(Object.keys(spec.paths)).toContain('/api/v1/videos/{id}/playback')
    expect(Object.keys(spec.paths['/api/v1/videos']!.post!.requestBody.content)).toEqual(['application/json', 'application/octet-stream'])
  })

  it('tells its metrics and readiness on the admin listener only', async () => {
    const admin = `http://127.0.0.1:${app.adminAddress.port}`
    expect(await (await fetch(`${admin}/metrics`)).text()).toMatch(/millrace_cms_videos\{state="ready",service="cms",id="cms-1"\} 1/)
    expect((await fetch(`${admin}/readyz`)).status).toBe(200)
    expect((await fetch(`${app.url}/metrics`)).status).toBe(404)
  })

  it('refuses a configuration that would open it to everybody', () => {
    expect(() => parseConfig(configSchema, fleet.rawConfig({ listen: '0.0.0.0:0' }))).toThrow(
      /api\.token: is needed when listen is not loopback/,
    )
  })

  it('asks for its token when it has one', async () => {
    const token = 'api-token-0123456789'
    await fleet.stopCms()
    const other = await fleet.startCms({ api: { token } })
    expect((await fetch(`${other.url}/api/v1/videos`)).status).toBe(401)
    expect((await fetch(`${other.url}/api/v1/videos`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200)
    expect((await fetch(`${other.url}/`)).status).toBe(200)
  })
})
