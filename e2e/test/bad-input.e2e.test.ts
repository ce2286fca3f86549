import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Video } from '@millrace/common/contracts/cms-api'
import { until } from '@millrace/common/testing/until'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeClip } from '../support/clips.js'
import { type Fixture, leftovers, startFixture, untilState, upload } from '../support/fixture.js'

let fixture: Fixture
let clip: string
const servers: Server[] = []

beforeAll(async () => {
  // 127.0.0.1 may be asked, 127.0.0.2 may not: it stands for a private address.
  fixture = await startFixture({ maxSourceBytes: '2MiB', allowPrivate: ['127.0.0.1/32'] })
  clip = await makeClip(fixture.clips, 'good.mp4', { seconds: 2, size: '160x120' })
})
afterAll(async () => {
  await fixture?.close()
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(listener: RequestListener, host = '127.0.0.1'): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return `http://${host}:${(server.address() as AddressInfo).port}`
}

async function failed(video: Video): Promise<Video> {
  const ended = await untilState(fixture, video.id, ['failed'])
  expect(ended.error?.message.length).toBeGreaterThan(5)
  expect(ended.rev).toBeUndefined()
  await until('nothing to be left behind', async () => (await leftovers(fixture)).length === 0, 10_000)
  return ended
}

async function uploadBytes(name: string, bytes: Buffer): Promise<Video> {
  const file = join(fixture.clips, name)
  await writeFile(file, bytes)
  return upload(fixture, file)
}

describe('a source that cannot become a video ends as failed, with a code and nothing left behind', () => {
  it('not a video', async () => {
    const video = await failed(await uploadBytes('letter.mp4', Buffer.from('Dear viewer,\n'.repeat(500))))
    expect(video.error).toMatchObject({ code: 'not-media', source: 'source-media', retryable: false })
    expect(video.error?.detail, "ffmpeg's own words").toMatch(/Invalid data|moov|not found|format/i)
  })

  it('zero bytes', async () => {
    await expect(uploadBytes('empty.mp4', Buffer.alloc(0))).rejects.toThrow(/empty-upload/)
    const url = await serve((_, response) => response.writeHead(200, { 'content-type': 'video/mp4' }).end())
    expect((await failed(await fixture.api.createFromUrl(`${url}/empty.mp4`))).error?.code).toBe('source-empty')
  })

  it('a truncated file without its index', async () => {
    const whole = await readFile(clip)
    const video = await failed(await uploadBytes('truncated.mp4', whole.subarray(0, Math.floor(whole.length / 2))))
    expect(video.error).toMatchObject({ source: 'source-media', retryable: false })
  })

  it('an unreachable URL', async () => {
    const url = await serve(() => undefined)
    await new Promise((resolve) => servers.at(-1)!.close(resolve))
    expect((await failed(await fixture.api.createFromUrl(`${url}/gone.mp4`))).error).toMatchObject({ code: 'url-unreachable' })
  })

  it('a URL that answers HTML', async () => {
    const url = await serve((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>Sign in</p>'))
    expect((await failed(await fixture.api.createFromUrl(`${url}/watch`))).error).toMatchObject({ code: 'source-is-html' })
  })

  it('a URL that is not there', async () => {
    const url = await serve((_, response) => response.writeHead(404).end('no'))
    expect((await failed(await fixture.api.createFromUrl(`${url}/x.mp4`))).error).toMatchObject({ code: 'source-not-found' })
  })

  it('a URL to a private address, directly and by redirect, which is never asked', async () => {
    let asked = 0
    const inner = await serve((_, response) => {
      asked++
      response.end('secret')
    }, '127.0.0.2')
    const outer = await serve((_, response) => response.writeHead(302, { location: inner }).end())
    for (const url of [inner, outer]) {
      expect((await failed(await fixture.api.createFromUrl(url))).error).toMatchObject({ code: 'url-not-allowed', retryable: false })
    }
    expect(asked).toBe(0)
  })

  it('a source larger than the limit, uploaded or fetched, with and without a declared length', async () => {
    const big = Buffer.alloc(3 * 2 ** 20, 1)
    await expect(uploadBytes('big.mp4', big)).rejects.toThrow(/413/)
    const declared = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'video/mp4', 'content-length': big.length }).end(big),
    )
    const chunked = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4' })
      response.write(big.subarray(0, 2 ** 20))
      response.end(big.subarray(2 ** 20))
    })
    for (const url of [declared, chunked]) {
      expect((await failed(await fixture.api.createFromUrl(`${url}/big.mp4`))).error?.code).toBe('source-too-large')
    }
  })

  it('and the next job runs', async () => {
    const video = await untilState(fixture, (await upload(fixture, clip)).id, ['ready'])
    expect(video.rev).toBe('r1')
    await until('nothing to be left behind', async () => (await leftovers(fixture)).length === 0, 10_000)
  })
})
