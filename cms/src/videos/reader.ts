import { type Progress, progressSchema } from '@millrace/common/contracts/events'
import { progressKey } from '@millrace/common/contracts/redis'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'
import type { Kysely } from 'kysely'
import type { Database } from '../db/schema.js'
import { findRecord, listRecords } from '../db/video-store.js'
import type { VideoReader } from '../http/routes/videos.js'
import { isRunning } from './states.js'
import { toVideo, type VideoRecord } from './view.js'

/** Videos as the API shows them: rows, and the progress of those that run. */
export function createReader(db: Kysely<Database>, redis: Redis, log: Logger): VideoReader {
  const progressOf = async (records: VideoRecord[]): Promise<Map<string, Progress>> => {
    const running = records.filter(({ video }) => isRunning(video.state)).map(({ video }) => video.id)
    const found = new Map<string, Progress>()
    if (running.length === 0) return found
    const pipeline = redis.pipeline()
    for (const id of running) pipeline.hget(progressKey(id), 'state')
    const answers = await pipeline.exec().catch((error: Error) => {
      // Videos are shown without it while Redis is away.
      log.warn({ err: error }, 'progress not read')
      return null
    })
    answers?.forEach(([error, text], index) => {
      const progress = error || typeof text !== 'string' ? undefined : parseProgress(text)
      const id = running[index]
      if (progress && id) found.set(id, progress)
    })
    return found
  }
  return {
    find: async (id) => {
      const record = await findRecord(db, id)
      return record && toVideo(record, (await progressOf([record])).get(id))
    },
    list: async (filter) => {
      const { items, next } = await listRecords(db, filter)
      const progress = await progressOf(items)
      return { items: items.map((record) => toVideo(record, progress.get(record.video.id))), ...(next && { next }) }
    },
  }
}

function parseProgress(text: string): Progress | undefined {
  try {
    return progressSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
