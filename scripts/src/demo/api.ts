import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { type Video, videoSchema } from '@millrace/common/contracts/cms-api'
import { type EdgeStatus, edgeStatusSchema } from '@millrace/common/contracts/edge-api'
import { type Playback, playbackSchema } from '@millrace/common/contracts/playback'
import { call } from '@millrace/common/http/client'
import { request } from 'undici'

const TIMEOUT = 30_000

/** The CMS as an operator's script sees it. */
export class CmsApi {
  readonly #base: string
  constructor(base: string) {
    this.#base = base
  }

  createFromUrl(url: string): Promise<Video> {
    return call(`${this.#base}/api/v1/videos`, { method: 'POST', body: { url }, schema: videoSchema, timeoutMs: TIMEOUT })
  }

  async upload(file: string, onProgress: (sent: number, total: number) => void): Promise<Video> {
    const { size } = await stat(file)
    let sent = 0
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        sent += chunk.length
        onProgress(sent, size)
        done(undefined, chunk)
      },
    })
    const query = new URLSearchParams({ filename: basename(file) })
    const response = await request(`${this.#base}/api/v1/videos?${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
      body: Readable.from(createReadStream(file).pipe(meter)),
      headersTimeout: 600_000,
    })
    const json = await response.body.json()
    if (response.statusCode !== 201) throw new Error(`upload refused: ${response.statusCode} ${JSON.stringify(json)}`)
    return videoSchema.parse(json)
  }

  video(id: string): Promise<Video> {
    return call(`${this.#base}/api/v1/videos/${id}`, { schema: videoSchema, timeoutMs: TIMEOUT })
  }

  playback(id: string): Promise<Playback> {
    return call(`${this.#base}/api/v1/videos/${id}/playback`, { schema: playbackSchema, timeoutMs: TIMEOUT })
  }

  post(id: string, action: 'retry' | 'cancel'): Promise<Video> {
    return call(`${this.#base}/api/v1/videos/${id}/${action}`, { method: 'POST', schema: videoSchema, timeoutMs: TIMEOUT })
  }

  delete(id: string): Promise<Video> {
    return call(`${this.#base}/api/v1/videos/${id}`, { method: 'DELETE', schema: videoSchema, timeoutMs: TIMEOUT })
  }
}

export function edgeStatus(adminUrl: string): Promise<EdgeStatus> {
  return call(`${adminUrl}/v1/status`, { schema: edgeStatusSchema, timeoutMs: TIMEOUT })
}
