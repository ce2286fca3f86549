import { CACHE_HEADER, CACHE_PHASES, type CachePhase } from '@millrace/common/contracts/edge-api'
import { request } from 'undici'

export interface Fetched {
  url: string
  phase: CachePhase
  type: string
  body: Buffer
}

/** What a player downloaded: counts by `x-cache`, so that a caller can demand hits. */
export class Tally {
  segments = 0
  playlists = 0
  bytes = 0
  readonly phases = new Map<CachePhase, number>()

  add(fetched: Fetched, kind: 'segment' | 'playlist'): void {
    if (kind === 'segment') this.segments++
    else this.playlists++
    this.bytes += fetched.body.length
    this.phases.set(fetched.phase, (this.phases.get(fetched.phase) ?? 0) + 1)
  }

  merge(other: Tally): void {
    this.segments += other.segments
    this.playlists += other.playlists
    this.bytes += other.bytes
    for (const [phase, count] of other.phases) this.phases.set(phase, (this.phases.get(phase) ?? 0) + count)
  }
}

/** @throws Error naming the URL for anything but a whole 200 from an edge. */
export async function fetchWhole(url: string): Promise<Fetched> {
  const response = await request(url, { headersTimeout: 30_000, bodyTimeout: 30_000 })
  const body = Buffer.from(await response.body.arrayBuffer())
  if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}: ${body.subarray(0, 200)}`)
  const declared = response.headers['content-length']
  if (declared !== undefined && Number(declared) !== body.length) throw new Error(`${url}: ${body.length} bytes of ${declared}`)
  if (body.length === 0) throw new Error(`${url}: empty`)
  const phase = CACHE_PHASES.find((name) => name === response.headers[CACHE_HEADER])
  if (!phase) throw new Error(`${url}: no ${CACHE_HEADER} that the contract knows`)
  return { url, phase, type: String(response.headers['content-type'] ?? ''), body }
}

/** Fetches each URL once, a few at a time, in order of need. */
export async function fetchSegments(urls: Iterable<string>, tally: Tally): Promise<void> {
  const queue = [...new Set(urls)]
  const worker = async () => {
    for (let url = queue.shift(); url !== undefined; url = queue.shift()) tally.add(await fetchWhole(url), 'segment')
  }
  await Promise.all(Array.from({ length: 6 }, worker))
}
