import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Video, VideoState } from '@millrace/common/contracts/cms-api'
import { until } from '@millrace/common/testing/until'
import { CmsApi } from '@millrace/scripts/demo/api'
import type { StackOptions } from '@millrace/scripts/stack/layout'
import { type Stack, startStack } from '@millrace/scripts/stack/stack'

/** A running stack and its API; `close` stops it and removes its folder. */
export interface Fixture {
  stack: Stack
  api: CmsApi
  folder: string
  /** Where a test makes its clips. */
  clips: string
  close: () => Promise<void>
}

export async function startFixture(options: Partial<StackOptions> = {}): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-e2e-'))
  const clips = await mkdtemp(join(tmpdir(), 'millrace-clips-'))
  const stack = await startStack(
    { folder, x264Preset: 'ultrafast', stallInterval: '2s', retryDelay: '100ms', ...options },
    (service, exit) => {
      console.error(`${service.name} ended by itself: ${JSON.stringify(exit)}; log ${service.logFile}`)
    },
  )
  return {
    stack,
    api: new CmsApi(stack.cmsUrl),
    folder,
    clips,
    close: async () => {
      await stack.stop()
      if (!process.env.MILLRACE_KEEP) await rm(folder, { recursive: true, force: true })
      await rm(clips, { recursive: true, force: true })
    },
  }
}

export const ENDED: VideoState[] = ['ready', 'degraded', 'failed', 'cancelled']

/** Waits until a video is in one of these states; fails at once when it ends in another. */
export function untilState(fixture: Fixture, id: string, wanted: VideoState[], timeoutMs = 90_000): Promise<Video> {
  const final = ENDED.filter((state) => state !== 'degraded' && !wanted.includes(state))
  let ended: Error | undefined
  return until(
    `video ${id} to be ${wanted.join(' or ')}`,
    async () => {
      const video = await fixture.api.video(id)
      if (final.includes(video.state)) ended = new Error(`video is ${video.state}: ${JSON.stringify(video.error)}`)
      return ended ? { ended } : wanted.includes(video.state) && { video }
    },
    timeoutMs,
  ).then((outcome) => {
    if ('ended' in outcome) throw outcome.ended
    return outcome.video
  })
}

export async function upload(fixture: Fixture, file: string): Promise<Video> {
  return fixture.api.upload(file, () => undefined)
}

/** Names below a folder, for asserting that it is empty; a missing folder is empty. */
export async function listing(...path: string[]): Promise<string[]> {
  const folder = join(...path)
  return existsSync(folder) ? (await readdir(folder, { recursive: true })).sort() : []
}

/** What may hold leftovers of a job: the transcoders' workspaces and the origins' staging. */
export async function leftovers(fixture: Fixture): Promise<string[]> {
  const { layout } = fixture.stack
  const lists = await Promise.all([
    ...layout.transcoders.map((transcoder) => listing(fixture.folder, transcoder.id, 'workspace')),
    ...layout.origins.map((origin) => listing(fixture.folder, origin.id, 'data', 'staging')),
  ])
  return lists.flat()
}

/** Real clips beside the repository, where they are; a user's clone has none. */
export const SHARED_MEDIA = fileURLToPath(new URL('../../../shared/media/', import.meta.url))
