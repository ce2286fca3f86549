import { readdirSync, readlinkSync } from 'node:fs'
import { rename, stat, truncate, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { type Dispatcher, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goldenAnswers } from './golden.js'
import { goldenMedia, goldenResponse, type PreparedAsset, prepareAsset, sha256, writeAssetJson } from './prepare-asset.js'
import { assetPath, commit, control, startOrigin, type TestOrigin, tempFolder, upload } from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let origin: TestOrigin
let prepared: PreparedAsset
let dash: string
let files: string

async function committed(): Promise<PreparedAsset> {
  const asset = await prepareAsset(join(folder.path, 'sources'))
  await upload(origin, asset)
  await commit(origin, asset.ref, asset.assetSha256)
  return asset
}

beforeAll(async () => {
  folder = await tempFolder()
  origin = await startOrigin(folder.path)
  prepared = await committed()
  dash = `/dash/${prepared.ref.videoId}/${prepared.ref.rev}`
  files = `/files/${prepared.ref.videoId}/${prepared.ref.rev}`
})
afterAll(async () => {
  await origin?.stop()
  await folder?.remove()
})

type Method = Dispatcher.HttpMethod
async function get(path: string, headers: Record<string, string> = {}, method: Method = 'GET') {
  const answer = await request(`${origin.dataUrl}${path}`, { method, headers })
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.from(await answer.body.arrayBuffer()) }
}

/** Sends bytes as they are and reads until the connection ends. */
function raw(text: string, timeoutMs = 5000): Promise<string> {
  const { host, port } = origin.app.addresses.data
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(text))
    let answer = ''
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no end within ${timeoutMs} ms after: ${answer}`)))
    socket.on('data', (data) => {
      answer += data.toString('latin1')
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

const statuses = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]))

describe('the data listener refuses with a 4xx', () => {
  const video = '0'.repeat(26)
  it.each([
    ['unknown ids', `/files/${video}/r1/main.m3u8`, 404],
    ['the root', '/', 404],
    ['an empty element', `/files//${video}/r1/main.m3u8`, 404],
    ['a leading double slash', `//files/${video}/r1/main.m3u8`, 404],
    ['an encoded slash', `/files/${video}%2fr1/main.m3u8`, 404],
    ['dots', `/files/${video}/r1/../../../etc/passwd`, 404],
    ['encoded dots', `/files/${video}/r1/%2e%2e%2f%2e%2e%2fetc%2fpasswd`, 404],
    ['a null byte', `/files/${video}/r1/main.m3u8%00.jpg`, 404],
    ['upper case', `/FILES/${video}/r1/main.m3u8`, 404],
    ['a long name', `/files/${video}/r1/${'a'.repeat(300)}`, 404],
    ['9 KB of URL', `/files/${video}/r1/${'a'.repeat(9000)}`, 414],
    ['9 KB of query', `/files/${video}/r1/main.m3u8?${'a'.repeat(9000)}`, 414],
  ])('%s', async (_what, path, status) => {
    expect(statuses(await raw(`GET ${path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n`))).toEqual([status])
  })

  it('headers beyond its limit', async () => {
    expect(statuses(await raw(`GET / HTTP/1.1\r\nHost: o\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`))).toEqual([431])
  })

  it.each([['POST'], ['PUT'], ['DELETE'], ['PATCH'], ['OPTIONS'], ['TRACE']] as [Method][])(
    '%s, naming what is allowed',
    async (method) => {
      const { status, headers } = await get(`${files}/main.m3u8`, {}, method)
      expect(status).toBe(405)
      expect(headers.allow).toBe('GET, HEAD')
    },
  )

  it('CONNECT', async () => {
    expect(statuses(await raw('CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n\r\n'))).toEqual([405])
  })

  const smuggled = () => `GET ${files}/poster.jpg HTTP/1.1\r\nHost: o\r\n\r\n`
  it.each([
    ['two different Content-Length', 'Content-Length: 0\r\nContent-Length: 44\r\n'],
    ['two equal Content-Length', 'Content-Length: 44\r\nContent-Length: 44\r\n'],
    ['an unknown Transfer-Encoding', 'Transfer-Encoding: xchunked\r\n'],
    ['a chunked body', 'Transfer-Encoding: chunked\r\n'],
    ['Content-Length and Transfer-Encoding', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n'],
    ['two Hosts', 'Host: p\r\n'],
    ['a body', 'Content-Length: 5\r\n'],
    ['a body that waits for a 100', 'Content-Length: 5\r\nExpect: 100-continue\r\n'],
    ['a negative length', 'Content-Length: -1\r\n'],
    ['a space before the colon', 'Content-Length : 5\r\n'],
    ['an obsolete fold', 'X: a\r\n b: c\r\nContent-Length: 7\r\n'],
  ])('%s, closes, and runs nothing that follows', async (_what, headers) => {
    const answer = await raw(`GET ${files}/main.m3u8 HTTP/1.1\r\nHost: o\r\n${headers}\r\n0\r\n\r\n${smuggled()}`)
    expect(statuses(answer)).toEqual([400])
    expect(answer).not.toContain('EXTM3U')
    expect(answer).not.toContain('picture')
  })

  it('a request without a Host, or with rubbish in its first line', async () => {
    expect(statuses(await raw(`GET ${files}/main.m3u8 HTTP/1.1\r\n\r\n`))).toEqual([400])
    expect(statuses(await raw('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'))).toEqual([400])
  })
})

describe('the data listener does not have', () => {
  it.each([
    ['asset.json', 'files/asset.json'],
    ['the mapping', 'files/vod.json'],
    ['the marker', 'files/live'],
    ['mp4 files, unless allowed', 'files/video-360p.mp4'],
    ['a manifest that was not rendered', 'files/video-720p.m3u8'],
    ['an image that is not listed', 'files/other.jpg'],
    ["the module's own HLS", 'hls/master.m3u8'],
    ['a segment after the last', 'dash/fragment-99-f1-v1-x3.m4s'],
    ['a sequence after the last', 'dash/init-f9-v1-x3.mp4'],
    ['video under a name for audio', 'dash/init-f1-a1-x3.mp4'],
    ['segments of text', 'dash/fragment-1-f5-v1-x3.m4s'],
  ])('%s', async (_what, path) => {
    const [family, name] = path.split('/')
    const { status, headers, body } = await get(`/${family}/${prepared.ref.videoId}/${prepared.ref.rev}/${name}`)
    expect(status).toBe(404)
    expect(headers['cache-control']).toBe('public, max-age=1')
    expect(JSON.parse(body.toString())).toMatchObject({ code: 'not-found', status: 404 })
  })

  it('anything of an asset whose live marker is gone, from the next request on', async () => {
    const asset = await committed()
    const path = `/dash/${asset.ref.videoId}/${asset.ref.rev}/fragment-1-f1-v1-x3.m4s`
    expect((await get(path)).status).toBe(200)
    await rename(origin.layout.live(asset.ref), `${origin.layout.live(asset.ref)}.away`)
    expect((await get(path)).status).toBe(404)
    expect((await get(`/files/${asset.ref.videoId}/${asset.ref.rev}/main.mpd`)).status).toBe(404)
    await rename(`${origin.layout.live(asset.ref)}.away`, origin.layout.live(asset.ref))
    expect((await get(path)).status).toBe(200)
  })
})

describe('the data listener', () => {
  it("gives every fragment of the real module's recording, byte for byte", async () => {
    const fragments = goldenAnswers().filter((answer) => /\/dash\/.*fragment-/.test(answer.path) && answer.status === 200)
    expect(fragments.length).toBeGreaterThan(10)
    for (const { path, contentType, bytes, sha256: wanted } of fragments) {
      const { status, headers, body } = await get(`${dash}/${path.split('/').at(-1)}`)
      expect(status).toBe(200)
      expect(headers['content-type']).toBe(contentType)
      expect(body.length).toBe(bytes)
      expect(sha256(body), path).toBe(wanted)
    }
  })

  it('says what it sends, for ever cacheable, with a strong ETag', async () => {
    const { status, headers, body } = await get(`${dash}/fragment-1-f1-v1-x3.m4s`)
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': String(body.length),
      'cache-control': 'public, max-age=31536000, immutable',
      'accept-ranges': 'bytes',
      etag: expect.stringMatching(/^"[0-9a-f]{16,}"$/),
    })
    expect((await get(`${dash}/init-f3-a1-x3.mp4`)).headers['content-type']).toBe('audio/mp4')
    expect((await get(`${files}/main.m3u8`)).headers['content-type']).toBe('application/vnd.apple.mpegurl')
    expect((await get(`${files}/main.mpd`)).headers['content-type']).toBe('application/dash+xml')
    expect((await get(`${files}/text-eng.vtt`)).body).toEqual(await goldenMedia('text-eng.vtt'))
    const poster = prepared.asset.files.find((file) => file.role === 'poster')!
    expect((await get(`${files}/poster.jpg`)).headers.etag).toBe(`"${poster.sha256.slice(0, 32)}"`)
  })

  it('serves every URI of its playlists', async () => {
    const base = new URL(`${origin.dataUrl}${files}/main.m3u8`)
    const lines = (text: string) =>
      text
        .split('\n')
        .flatMap((line) => [...line.matchAll(/URI="([^"]+)"/g)].map((match) => match[1]!).concat(/^#|^$/.test(line) ? [] : [line]))
    const playlists = lines((await get(base.pathname)).body.toString()).map((uri) => new URL(uri, base))
    expect(playlists.length).toBeGreaterThan(4)
    for (const playlist of playlists) {
      const { status, body } = await get(playlist.pathname)
      expect(status, playlist.pathname).toBe(200)
      for (const uri of lines(body.toString())) expect((await get(new URL(uri, playlist).pathname, {}, 'HEAD')).status, uri).toBe(200)
    }
  })

  it('answers HEAD with the headers of GET and no body', async () => {
    for (const path of [`${dash}/fragment-1-f1-v1-x3.m4s`, `${files}/main.mpd`, `${files}/poster.jpg`]) {
      const [head, whole] = [await get(path, {}, 'HEAD'), await get(path)]
      expect(head.status).toBe(200)
      expect(head.body.length).toBe(0)
      // undici asks for a close after HEAD.
      const about = ({ date, connection, 'keep-alive': keepAlive, ...rest }: typeof head.headers) => rest
      expect(about(head.headers)).toEqual(about(whole.headers))
    }
  })

  it('ignores the query and takes an absolute URL', async () => {
    expect((await get(`${files}/main.m3u8?CMCD=bl%3D100`)).status).toBe(200)
    const answer = await raw(`GET http://elsewhere${files}/main.m3u8?x HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n`)
    expect(statuses(answer)).toEqual([200])
    expect(statuses(await raw(`GET http://elsewhere HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n`))).toEqual([404])
  })

  it('answers 304 to an ETag that it would send', async () => {
    for (const path of [`${dash}/fragment-1-f1-v1-x3.m4s`, `${files}/main.mpd`]) {
      const { headers } = await get(path)
      const etag = String(headers.etag)
      for (const sent of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
        const { status, body, headers: given } = await get(path, { 'if-none-match': sent })
        expect([status, body.length, given.etag]).toEqual([304, 0, etag])
      }
      expect((await get(path, { 'if-none-match': '"other"' })).status).toBe(200)
    }
  })

  it('answers ranges over its own header and the file as one body', async () => {
    const path = `${dash}/fragment-1-f1-v1-x3.m4s`
    const whole = await goldenResponse('fragment-1-f1-v1-x3.m4s')
    const size = whole.length
    for (const [range, first, last] of [
      ['bytes=0-0', 0, 0],
      ['bytes=100-5000', 100, 5000],
      ['bytes=60000-', 60_000, size - 1],
      ['bytes=-7', size - 7, size - 1],
      [`bytes=5-${size + 100}`, 5, size - 1],
    ] as const) {
      const { status, headers, body } = await get(path, { range })
      expect(status).toBe(206)
      expect(headers['content-range']).toBe(`bytes ${first}-${last}/${size}`)
      expect(body.equals(whole.subarray(first, last + 1)), range).toBe(true)
    }
    const none = await get(path, { range: `bytes=${size}-` })
    expect([none.status, none.headers['content-range']]).toEqual([416, `bytes */${size}`])
    for (const range of ['bytes=5-2', 'bytes=0-1,5-6', 'lines=1-2', 'bytes=a-b']) expect((await get(path, { range })).status).toBe(200)
  })

  it('answers a range with If-Range only while the ETag is the same', async () => {
    const path = `${files}/poster.jpg`
    const etag = String((await get(path)).headers.etag)
    const range = 'bytes=1-3'
    expect((await get(path, { range, 'if-range': etag })).status).toBe(206)
    for (const other of [`W/${etag}`, '"other"', 'Sun, 19 Nov 2000 08:52:00 GMT']) {
      expect((await get(path, { range, 'if-range': other })).status).toBe(200)
    }
  })

  it('takes many requests on one connection', async () => {
    const one = `GET ${files}/poster.jpg HTTP/1.1\r\nHost: o\r\n\r\n`
    const last = one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
    expect(statuses(await raw(one + one + last))).toEqual([200, 200, 200])
  })

  it('never writes into an answer that is on its way, whatever comes meanwhile', async () => {
    const answer = await raw(`GET ${dash}/fragment-1-f1-v1-x3.m4s HTTP/1.1\r\nHost: o\r\n\r\nrubbish\r\n\r\n`)
    expect(statuses(answer).length).toBeLessThanOrEqual(1)
  })

  it('cuts the connection when a file ends early, and says nothing wrong', async () => {
    const asset = await committed()
    const path = join(origin.layout.asset(asset.ref), 'video-360p.mp4')
    const before = origin.logs.length
    const url = `/dash/${asset.ref.videoId}/${asset.ref.rev}/fragment-4-f1-v1-x3.m4s`
    expect((await get(url)).status).toBe(200)
    await truncate(path, (await stat(path)).size - 2000)
    await expect(get(url)).rejects.toThrow()
    await until('the log to tell', () => origin.logs.slice(before).join('').includes('short-read'))
    const { admin } = origin.app.addresses
    const metrics = await (await request(`http://${admin.host}:${admin.port}/metrics`)).body.text()
    expect(metrics).toMatch(/millrace_origin_requests_total\{class="segment",outcome="cut",[^}]*\} 1/)
  })

  it('closes its files when clients go away in the middle', async () => {
    const big = await prepareAsset(join(folder.path, 'sources'))
    const path = join(big.folder, 'poster.jpg')
    const content = Buffer.alloc(24 * 2 ** 20, 5)
    await writeFile(path, content)
    const poster = big.asset.files.find((file) => file.role === 'poster')!
    Object.assign(poster, { bytes: content.length, sha256: sha256(content) })
    const sent = await writeAssetJson(big)
    await upload(origin, sent)
    expect(await commit(origin, sent.ref, sent.assetSha256)).toMatchObject({ state: 'done' })

    const { host, port } = origin.app.addresses.data
    const held = join(origin.layout.asset(sent.ref), 'poster.jpg')
    const sockets = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = connect(port, host, () =>
          socket.write(`GET /files/${sent.ref.videoId}/${sent.ref.rev}/poster.jpg HTTP/1.1\r\nHost: o\r\n\r\n`),
        )
        await new Promise((resolve) => socket.once('readable', resolve))
        return socket
      }),
    )
    expect(openFiles(held)).toBe(8)
    for (const socket of sockets) socket.destroy()
    await until('every file to be closed', () => openFiles(held) === 0)

    // Answers that wait behind the first one on its connection.
    const one = `GET /files/${sent.ref.videoId}/${sent.ref.rev}/poster.jpg HTTP/1.1\r\nHost: o\r\n\r\n`
    const pipelined = connect(port, host, () => pipelined.write(one + one + one))
    await until('three open files', () => openFiles(held) === 3)
    pipelined.destroy()
    await until('every file to be closed', () => openFiles(held) === 0)
  })

  it('answers 500 where the disk can’t even say whether an asset is live, and goes on serving', async () => {
    const sick = await committed()
    const folderOfVideo = join(origin.layout.mapRoot, sick.ref.videoId)
    await rename(folderOfVideo, join(origin.layout.stateTmp, 'sick'))
    await writeFile(folderOfVideo, 'not a folder')
    expect((await get(`/files/${sick.ref.videoId}/${sick.ref.rev}/poster.jpg`)).status).toBe(500)
    expect((await get(`${files}/poster.jpg`)).status).toBe(200)
  })

  it('an asset whose state cannot be read does not keep the origin from starting', async () => {
    const damaged = await committed()
    const folderOfVideo = join(origin.layout.mapRoot, damaged.ref.videoId)
    await rename(folderOfVideo, join(origin.layout.stateTmp, 'away'))
    await writeFile(folderOfVideo, 'not a folder')
    await origin.stop()
    origin = await startOrigin(folder.path)
    expect((await get(`/files/${damaged.ref.videoId}/${damaged.ref.rev}/poster.jpg`)).status).not.toBe(200)
    expect((await get(`${files}/poster.jpg`)).status).toBe(200)
  })

  it('serves mp4 files where they are allowed', async () => {
    await origin.stop()
    origin = await startOrigin(folder.path, { files: { allowMp4: true } })
    const { status, headers, body } = await get(`${files}/audio-eng.mp4`)
    expect([status, headers['content-type']]).toEqual([200, 'video/mp4'])
    expect(body.equals(await goldenMedia('audio-eng.mp4'))).toBe(true)
    await control(origin, 'DELETE', assetPath(prepared.ref))
    expect((await get(`${files}/audio-eng.mp4`)).status).toBe(404)
  })
})

function openFiles(path: string): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => link === path).length
}
