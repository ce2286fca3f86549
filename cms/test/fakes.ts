import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Asset } from '@millrace/common/contracts/asset'
import type { Operation, PullRequest } from '@millrace/common/contracts/origin-api'

export const ORIGIN_TOKEN = 'origin-token-0123456789'

/** What a stand-in for an origin holds: `<videoId>/<rev>`. */
export class FakeOrigin {
  readonly assets = new Set<string>()
  readonly staged = new Set<string>()
  readonly pulls: (PullRequest & { key: string })[] = []
  readonly removed: string[] = []
  failPulls = 0
  /** Keys whose deletion it fails to do. */
  readonly stuck = new Set<string>()
  /** Called while a pull is under way. */
  onPull: () => Promise<unknown> = async () => undefined
  /** Takes requests and never answers them. */
  silent = false
  ignored = 0
  readonly #operations = new Map<string, Operation>()
  #server: Server | undefined
  #port = 0

  constructor(readonly id: string) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** The port stays the same over stops and starts. */
  async start(): Promise<this> {
    this.#server = createServer((request, response) => this.#answer(request, response))
    this.#port = await listen(this.#server, this.#port)
    return this
  }

  async stop(): Promise<void> {
    await close(this.#server)
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    const json = (status: number, body?: unknown): ServerResponse =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body === undefined ? '' : JSON.stringify(body))
    const [, , kind, videoId = '', rev = '', verb] = (request.url ?? '').split('/')
    const key = `${videoId}/${rev}`
    if (this.silent && kind !== 'status') return this.ignored++
    if (request.headers.authorization !== `Bearer ${ORIGIN_TOKEN}`) return json(401)
    if (kind === 'status') {
      const disk = { totalBytes: 1, freeBytes: 1 }
      return json(200, { id: this.id, version: '1', packager: 'embedded', assets: 0, staged: 0, disk, draining: false })
    }
    if (kind === 'operations') return json(200, this.#operations.get(videoId))
    if (kind === 'videos') {
      const mine = (set: Set<string>) => [...set].filter((one) => one.startsWith(`${videoId}/`)).map((one) => one.split('/')[1]!)
      return json(200, { videoId, assets: mine(this.assets).map((one) => held(videoId, one)), staged: mine(this.staged) })
    }
    if (request.method === 'DELETE') {
      if (this.stuck.has(key)) return json(500)
      this.removed.push(key)
      this.assets.delete(key)
      this.staged.delete(key)
      return json(204)
    }
    if (verb === 'pull') return this.#pull(request, key, (operation) => json(202, operation))
    if (!this.assets.has(key)) return json(404)
    return json(200, { ...held(videoId, rev), asset: testAsset(videoId, Number(rev.slice(1))), manifests: { hls: HLS, dash: DASH } })
  }

  #pull(request: IncomingMessage, key: string, reply: (operation: Operation) => void): unknown {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    return request.on('end', async () => {
      this.pulls.push({ ...JSON.parse(body), key })
      const [videoId, rev] = key.split('/') as [string, string]
      await this.onPull()
      const operation: Operation = {
        id: `op-${this.pulls.length}`,
        kind: 'pull',
        videoId,
        rev,
        state: 'running',
        bytesDone: 0,
        bytesTotal: 1,
      }
      const error = { code: 'pull-broken', source: 'transfer' as const, retryable: true, message: 'rsync broke' }
      const done = this.failPulls-- > 0 ? { ...operation, state: 'failed' as const, error } : { ...operation, state: 'done' as const }
      if (done.state === 'done') this.assets.add(key)
      this.#operations.set(operation.id, done)
      reply(operation)
    })
  }
}

/** A stand-in for an edge's admin listener. */
export class FakeEdge {
  ready = true
  #server: Server | undefined
  #port = 0

  constructor(readonly id: string) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async start(): Promise<this> {
    this.#server = createServer((_request, response) => response.writeHead(this.ready ? 200 : 503).end('{}'))
    this.#port = await listen(this.#server, this.#port)
    return this
  }

  async stop(): Promise<void> {
    await close(this.#server)
  }
}

export const HLS = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,URI="audio-eng.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.4d401e,mp4a.40.2",RESOLUTION=640x360,AUDIO="audio"
video-360p.m3u8
`
export const DASH = `<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT8S" profiles="urn:mpeg:dash:profile:isoff-live:2011">
  <Period id="0"/>
</MPD>
`
export const ASSET_SHA256 = 'ab'.repeat(32)

function held(videoId: string, rev: string) {
  return { videoId, rev, bytes: 10, committedAt: '2026-01-01T00:00:00.000Z', assetSha256: ASSET_SHA256, live: true }
}

export function testAsset(videoId: string, attempt: number): Asset {
  const timed = { duration: 8, averageBitrate: 700_000, peakBitrate: 900_000, segmentDurations: [4, 4] }
  const file = { bytes: 5, sha256: 'cd'.repeat(32) }
  return {
    version: 1,
    videoId,
    rev: `r${attempt}`,
    attempt,
    createdAt: '2026-01-01T00:00:00.000Z',
    duration: 8,
    segmentDuration: 4,
    gop: 4,
    preset: { name: 'default', version: 1 },
    warnings: [],
    files: [
      {
        role: 'video',
        name: 'video-360p.mp4',
        sequence: 'v360p',
        codecs: 'avc1.4d401e',
        width: 640,
        height: 360,
        frameRate: { num: 25, den: 1 },
        videoRange: 'SDR',
        ...file,
        ...timed,
      },
      {
        role: 'audio',
        name: 'audio-eng.mp4',
        sequence: 'a1',
        codecs: 'mp4a.40.2',
        language: 'eng',
        label: 'English',
        default: true,
        channels: 2,
        sampleRate: 48_000,
        ...file,
        ...timed,
      },
      { role: 'poster', name: 'poster.jpg', ...file },
    ],
  }
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no port')
  return address.port
}

async function close(server: Server | undefined): Promise<void> {
  if (!server?.listening) return
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}
