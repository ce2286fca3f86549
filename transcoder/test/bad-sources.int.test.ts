import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { SourceRef } from '@millrace/common/contracts/transcode-job'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Clips, createClips, FAST, picture, tone } from './support/clips.js'
import { type Fleet, startFleet } from './support/fleet.js'
import { sendRange } from './support/sources.js'

let fleet: Fleet
let clips: Clips
let good: Buffer
let workspace: () => Promise<string[]>

beforeAll(async () => {
  fleet = await startFleet()
  clips = await createClips()
  good = await readFile(await clips.make('good.mp4', `${picture('160x90', '25', 2)} ${tone(2)} ${FAST}`))
  workspace = (await fleet.startWorker('t1', { sources: { allowPrivate: ['127.0.0.0/8'], attempts: 3, timeout: '8s' } })).workspace
})
afterEach(async () => {
  // Whatever a test did: nothing is left here or there, and the next job runs.
  expect(await workspace()).toEqual([])
  for (const origin of fleet.origins) expect(await origin.staged()).toEqual([])
  expect((await fleet.run(fleet.sources.store(good))).type).toBe('published')
})
afterAll(async () => {
  await fleet?.stop()
  await clips?.remove()
})

const web = (path: string): SourceRef => ({ kind: 'url', url: `${fleet.sources.url}${path}` })
const expectFailure = async (source: SourceRef, error: object, overrides = {}) => {
  const end = await fleet.run(source, overrides)
  expect(end).toMatchObject({ type: 'failed', final: true, error })
  return end.type === 'failed' ? end : undefined
}

test('not a video: failed as not-media with ffprobe’s last line', async () => {
  const failure = await expectFailure(fleet.sources.store(randomBytes(50_000)), {
    code: 'not-media',
    source: 'source-media',
    retryable: false,
  })
  expect(failure?.error.detail).toContain('Invalid data found')
  expect(failure).toMatchObject({ stage: 'probe', attempt: 1 })
})

test('zero bytes: failed as source-empty', async () => {
  fleet.sources.routes.set('/empty.mp4', (_, response) => response.writeHead(200, { 'content-length': 0 }).end())
  await expectFailure(web('/empty.mp4'), { code: 'source-empty', source: 'client', retryable: false })
})

test('a truncated mp4 whose index was at its end: failed as not-media', async () => {
  await expectFailure(fleet.sources.store(good.subarray(0, good.length / 2)), { code: 'not-media', source: 'source-media' })
})

test('a truncated mp4 whose index is at its start: failed as source-truncated', async () => {
  const whole = await readFile(await clips.make('fast.mp4', `${picture('320x180', '25', 8)} ${tone(8)} ${FAST} -movflags +faststart`))
  await expectFailure(fleet.sources.store(whole.subarray(0, whole.length / 2)), { code: 'source-truncated', source: 'source-media' })
})

test('unreachable URL: tried again, then failed as url-unreachable', async () => {
  const failure = await expectFailure(
    { kind: 'url', url: 'http://127.0.0.1:1/a.mp4' },
    { code: 'url-unreachable', source: 'transfer', retryable: true },
    { maxAttempts: 2 },
  )
  expect(failure).toMatchObject({ attempt: 2, stage: 'fetch' })
})

test('a URL that answers HTML: failed as source-is-html, whatever its content type', async () => {
  fleet.sources.routes.set('/page', (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<p>hello'),
  )
  await expectFailure(web('/page'), { code: 'source-is-html', retryable: false })
  fleet.sources.routes.set('/page.mp4', (_, response) =>
    response.writeHead(200, { 'content-type': 'video/mp4' }).end('\n<!DOCTYPE html>\n<title>Sign in</title>'),
  )
  await expectFailure(web('/page.mp4'), { code: 'source-is-html', retryable: false })
})

test('a URL that answers 404: failed at once as source-not-found', async () => {
  expect(await expectFailure(web('/missing.mp4'), { code: 'source-not-found', source: 'client', retryable: false })).toMatchObject({
    attempt: 1,
  })
})

test('a private address that is not allowed, also by redirect: failed as url-not-allowed', async () => {
  await expectFailure({ kind: 'url', url: 'http://10.255.255.1/a.mp4' }, { code: 'url-not-allowed', retryable: false })
  fleet.sources.routes.set('/away', (_, response) => response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end())
  await expectFailure(web('/away'), { code: 'url-not-allowed', retryable: false })
})

test('a source larger than the limit: failed as source-too-large, announced or not', async () => {
  const limits = { maxSourceBytes: good.length - 1, maxDurationSeconds: 600 }
  await expectFailure(fleet.sources.store(good), { code: 'source-too-large', retryable: false }, { limits })
  fleet.sources.routes.set('/large', (_, response) =>
    response.writeHead(200, { 'content-length': 10_000_000 }).end(Buffer.alloc(10_000_000)),
  )
  await expectFailure(web('/large'), { code: 'source-too-large', retryable: false }, { limits })
  // No length, no end.
  fleet.sources.routes.set('/endless', (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    }
    response.on('drain', more)
    more()
  })
  await expectFailure(web('/endless'), { code: 'source-too-large', retryable: false }, { limits })
})

test('a source that trickles without end: failed as source-too-slow', async () => {
  const drops: NodeJS.Timeout[] = []
  fleet.sources.routes.set('/trickle', (_, response) => {
    response.writeHead(200, { 'content-length': 1_000_000 })
    drops.push(setInterval(() => response.write('x'), 50))
  })
  await expectFailure(web('/trickle'), { code: 'source-too-slow', source: 'transfer', retryable: false })
  for (const drop of drops) clearInterval(drop)
})

test('a source longer than the limit: failed as source-too-long', async () => {
  const limits = { maxSourceBytes: 50_000_000, maxDurationSeconds: 1 }
  await expectFailure(fleet.sources.store(good), { code: 'source-too-long', retryable: false }, { limits })
})

test('a stored source that changed since its upload: failed as source-changed', async () => {
  await expectFailure({ ...fleet.sources.store(good), sha256: '0'.repeat(64) } as SourceRef, { code: 'source-changed', retryable: false })
})

test('a job outside its contract: failed as bad-job', async () => {
  await expectFailure(fleet.sources.store(good), { code: 'bad-job', retryable: false }, { maxAttempts: 'many' })
})

test('a playlist in disguise opens no other file and no URL', async () => {
  const asked: string[] = []
  const canary = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end()
  })
  await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(canary.address() as AddressInfo).port}`
  const file = await clips.make('canary.ts', `${picture('160x90', '25', 1)} ${FAST}`)
  const disguises = {
    hls: `#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n${url}/hls.ts\n#EXTINF:4,\nfile://${file}\n#EXT-X-ENDLIST\n`,
    concat: `ffconcat version 1.0\nfile '${file}'\nfile '${url}/concat.mp4'\n`,
    dash: `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet><Representation id="1" bandwidth="1"><BaseURL>${url}/dash.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`,
    sdp: `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n`,
  }
  for (const text of Object.values(disguises)) {
    await expectFailure(fleet.sources.store(Buffer.from(text)), { code: 'not-media', source: 'source-media' })
  }
  expect(asked).toEqual([])
  await new Promise((resolve) => canary.close(resolve))
})

test('a damaged file that can be decoded is delivered with a warning', async () => {
  const damaged = Buffer.from(await readFile(await clips.make('d.ts', `${picture('320x180', '25', 4)} ${tone(4)} ${FAST}`)))
  randomBytes(2000).copy(damaged, Math.floor(damaged.length / 2))
  const end = await fleet.run(fleet.sources.store(damaged))
  expect(end.type === 'published' && end.asset.warnings).toContainEqual(expect.objectContaining({ code: 'source-damaged' }))
})

test('a transfer that breaks goes on where it broke, by range with the same ETag', async () => {
  let served = 0
  fleet.sources.routes.set('/breaks.mp4', (request, response) => {
    if (served++ > 0) return sendRange(good, request, response, { etag: '"one"' })
    response.writeHead(200, { 'content-length': good.length, etag: '"one"' })
    response.write(good.subarray(0, 5000), () => response.destroy())
  })
  expect((await fleet.run(web('/breaks.mp4'))).type).toBe('published')
  expect(fleet.sources.requests.filter((line) => line.includes('/breaks.mp4')).at(-1)).toMatch(/bytes=[1-9]\d*-$/)
})

test('a transfer that breaks without a validator starts over', async () => {
  let served = 0
  fleet.sources.routes.set('/restarts.mp4', (request, response) => {
    if (served++ > 0) return sendRange(good, request, response)
    response.writeHead(200, { 'content-length': good.length })
    response.write(Buffer.alloc(5000), () => response.destroy())
  })
  expect((await fleet.run(web('/restarts.mp4'))).type).toBe('published')
  expect(fleet.sources.requests.filter((line) => line.includes('/restarts.mp4'))).toEqual(['GET /restarts.mp4', 'GET /restarts.mp4'])
})
