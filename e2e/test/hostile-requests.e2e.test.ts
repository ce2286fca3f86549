import { connect } from 'node:net'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeClip } from '../support/clips.js'
import { type Fixture, startFixture, untilState, upload } from '../support/fixture.js'

let fixture: Fixture
/** Path of a playable file, as the edge and as an origin name it. */
let edgePath: string
let originPath: string
let places: { name: string; url: string; path: string }[]

beforeAll(async () => {
  fixture = await startFixture()
  const clip = await makeClip(fixture.clips, 'clip.mp4', { seconds: 2, size: '160x120' })
  const { id } = await upload(fixture, clip)
  await untilState(fixture, id, ['ready'])
  const url = new URL((await fixture.api.playback(id)).edges[0]!.hls)
  edgePath = url.pathname
  originPath = edgePath.slice(edgePath.indexOf('/', 1))
  places = [
    { name: 'edge', url: url.origin, path: edgePath },
    { name: 'origin', url: fixture.stack.origins[0]!.dataUrl, path: originPath },
  ]
})
afterAll(async () => fixture?.close())

/** Sends raw bytes; resolves with everything that came back until the connection ended or fell silent after a whole answer. */
function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}

const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]))

describe('hostile requests at the edge and the origin get a 4xx, never a 5xx, never a file outside the root', () => {
  it('unknown ids, malformed paths, .., encoded slashes, 9 KB URLs', async () => {
    for (const { name, url, path } of places) {
      const route = path.slice(0, path.length - originPath.length)
      const [, family, id, rev] = originPath.split('/')
      const paths = [
        '/',
        '/etc/passwd',
        `${route}/${family}/${'0'.repeat(26)}/r1/main.m3u8`,
        `${route}/${family}/${id}/r999/main.m3u8`,
        `${route}/${family}/${id}/${rev}/nothing.m3u8`,
        `${route}/${family}/${id}/${rev}/asset.json`,
        `${route}/${family}/${id}/${rev}/../../../../../../etc/passwd`,
        `${route}/${family}/${id}/${rev}/%2e%2e%2f%2e%2e%2fasset.json`,
        `${route}/${family}/${id}/${rev}%2fmain.m3u8`,
        `${route}/${family}//${id}/${rev}/main.m3u8`,
        `${route}/${family}/${id}/${rev}/main.m3u8%00.jpg`,
        `${route}/dash/${id}/${rev}/fragment-0-f1-v1-x3.m4s`,
        `${route}/dash/${id}/${rev}/fragment-99999-f1-v1-x3.m4s`,
        `${route}/dash/${id}/${rev}/init-f77-v1-x3.mp4`,
        `${route}/${'a'.repeat(9000)}`,
        '/%',
        '/%ff%fe',
      ]
      for (const bad of paths) {
        const answer = await raw(url, `GET ${bad} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
        expect(statuses(answer)[0], `${name} ${bad.slice(0, 120)}`).toBeGreaterThanOrEqual(400)
        expect(statuses(answer)[0], `${name} ${bad.slice(0, 120)}`).toBeLessThan(500)
        expect(answer).not.toContain('root:')
      }
    }
  })

  it('wrong methods', async () => {
    for (const { name, url, path } of places) {
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'] as const) {
        const response = await request(`${url}${path}`, { method })
        await response.body.dump()
        expect(response.statusCode, `${name} ${method}`).toBe(405)
        expect(response.headers.allow).toMatch(/GET/)
      }
    }
  })

  it('two lengths, a strange transfer coding, two hosts, a body on GET: one refusal, and what follows is not run as a request', async () => {
    for (const { name, url, path } of places) {
      const second = `GET ${path} HTTP/1.1\r\nHost: smuggled\r\n\r\n`
      const heads = [
        `GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${second.length}\r\n\r\n`,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${second.length}\r\n\r\n`,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n`,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        `HEAD ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`,
      ]
      for (const head of heads) {
        const answers = statuses(await raw(url, head + second))
        expect(answers.length, `${name} ${JSON.stringify(head)} → ${answers}`).toBeLessThanOrEqual(1)
        expect(answers[0] ?? 400, `${name} ${JSON.stringify(head)}`).toBeGreaterThanOrEqual(400)
        expect(answers[0] ?? 400, `${name} ${JSON.stringify(head)}`).toBeLessThan(500)
      }
    }
  })

  it('and a good request is still answered', async () => {
    for (const { url, path } of places) {
      const response = await request(`${url}${path}`)
      expect(response.statusCode).toBe(200)
      expect(await response.body.text()).toMatch(/^#EXTM3U/)
    }
  })
})

describe('the CMS', () => {
  it('answers unknown ids, malformed bodies and wrong methods with a problem document', async () => {
    const cases: [string, 'GET' | 'POST' | 'DELETE' | 'PUT', string | undefined, number][] = [
      [`/api/v1/videos/${'0'.repeat(26)}`, 'GET', undefined, 404],
      ['/api/v1/videos/..%2f..%2fetc', 'GET', undefined, 400],
      [`/api/v1/videos/${'0'.repeat(26)}/playback`, 'GET', undefined, 404],
      ['/api/v1/videos', 'POST', '{"url":"file:///etc/passwd"}', 400],
      ['/api/v1/videos', 'POST', '{', 400],
      ['/api/v1/nothing', 'GET', undefined, 404],
      ['/internal/v1/sources/00000000000000000000000000', 'GET', undefined, 401],
    ]
    for (const [path, method, body, status] of cases) {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const response = await request(`${fixture.stack.cmsUrl}${path}`, { method, headers, ...(body !== undefined && { body }) })
      expect(response.statusCode, path).toBe(status)
      expect(response.headers['content-type'], path).toContain('application/problem+json')
      expect(await response.body.json(), path).toMatchObject({ code: expect.any(String) })
    }
  })
})
