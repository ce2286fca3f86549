import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Video } from '@millrace/common/contracts/cms-api'
import { STAGES } from '@millrace/common/contracts/events'
import type { Playback } from '@millrace/common/contracts/playback'
import { walkDash } from '../player/dash.js'
import { decode } from '../player/decode.js'
import { Tally } from '../player/fetch.js'
import { walkHls } from '../player/hls.js'
import type { CmsApi } from './api.js'
import { bar, describeVideo, formatBytes, type ProgressLine } from './progress.js'

/** A step that failed: its name is what the demo prints and exits with. */
export class StepError extends Error {
  readonly step: string
  constructor(step: string, cause: unknown) {
    super(`${step}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.step = step
  }
}

/** One source's way, in seconds by step. */
export interface Journey {
  video: Video
  playback: Playback
  /** From the accepted upload to ready. */
  readySeconds: number
  stages: Record<string, number>
  hls: Tally
  dash: Tally
}

export async function step<T>(name: string, stages: Record<string, number>, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  try {
    return await work()
  } catch (error) {
    throw error instanceof StepError ? error : new StepError(name, error)
  } finally {
    stages[name] = Math.round(performance.now() - began) / 1000
  }
}

/** Uploads (or names by URL) one source and watches it until it plays. */
export async function bringUp(api: CmsApi, source: string, line: ProgressLine): Promise<Journey> {
  const stages: Record<string, number> = {}
  const isUrl = /^https?:\/\//.test(source)
  const created = await step('upload', stages, () => {
    if (isUrl) return api.createFromUrl(source)
    if (!existsSync(source)) throw new Error(`there is no file ${source}`)
    return api.upload(source, (sent, total) => {
      const fraction = total === 0 ? 1 : sent / total
      line.show(`  upload   ${bar(fraction)} ${formatBytes(sent)} of ${formatBytes(total)}`, `upload ${Math.floor(fraction * 10)}`)
    })
  })
  line.end()
  const began = performance.now()
  const video = await step('ready', stages, () => watch(api, created.id, line))
  const readySeconds = Math.round(performance.now() - began) / 1000
  for (const stage of STAGES) {
    const seconds = video.job?.timings[stage]
    if (seconds !== undefined) stages[stage] = seconds
  }
  const playback = await step('playback', stages, () => api.playback(video.id))
  return { video, playback, readySeconds, stages, hls: new Tally(), dash: new Tally() }
}

/** @throws Error with the video's own words when it fails. Waits through `degraded`: the missing replica follows. */
async function watch(api: CmsApi, id: string, line: ProgressLine): Promise<Video> {
  for (;;) {
    const video = await api.video(id)
    if (video.state === 'ready') {
      line.end()
      return video
    }
    if (video.state === 'failed' || video.state === 'cancelled') {
      line.end()
      const detail = video.error?.detail ? `\n${video.error.detail}` : ''
      throw new StepError(
        video.progress?.stage ?? 'transcode',
        `${video.error?.code ?? video.state}: ${video.error?.message ?? ''}${detail}`,
      )
    }
    const { text, key } = describeVideo(video)
    line.show(text, key)
    await delay(400)
  }
}

/**
 * Plays everything through every edge: HLS first, which fills the edge; then DASH, which names the same segments and so must hit;
 * then ffmpeg decodes the best rendition.
 */
export async function playEverything(journey: Journey): Promise<void> {
  const { playback, stages } = journey
  for (const edge of playback.edges) {
    const hls = await step(`hls ${edge.id}`, stages, () => walkHls(edge.hls))
    const dash = await step(`dash ${edge.id}`, stages, async () => {
      const walk = await walkDash(edge.dash)
      // A segment whose fill is just ending is had from it: the origin isn't asked again either way.
      const hits = (walk.segments.phases.get('hit') ?? 0) + (walk.segments.phases.get('coalesced') ?? 0)
      if (hits !== walk.segments.segments) throw new Error(`${hits} hits of ${walk.segments.segments} segments that HLS had fetched before`)
      return walk
    })
    await step(`decode ${edge.id}`, stages, async () => {
      const seconds = await decode(hls.variants[0]!)
      const expected = playback.durationSeconds
      if (Math.abs(seconds - expected) > Math.max(0.5, expected * 0.02)) throw new Error(`decoded ${seconds} s of ${expected} s`)
    })
    journey.hls.merge(hls.tally)
    journey.dash.merge(dash.tally)
  }
}

export function titleOf(source: string): string {
  return /^https?:\/\//.test(source) ? source : basename(source)
}
