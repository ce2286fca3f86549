import type { ServerResponse } from 'node:http'
import type { Video } from '@millrace/common/contracts/cms-api'
import { type Progress, progressSchema } from '@millrace/common/contracts/events'
import { PROGRESS_CHANNEL } from '@millrace/common/contracts/redis'
import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'

const HEARTBEAT_MS = 15_000
/** A browser that takes this long to read is cut off; it comes back by itself. */
const MAX_BACKLOG_BYTES = 1 << 20

/** One message of a text/event-stream (HTML Living Standard, 9.2). JSON has no raw line breaks, so one data line is enough. */
export function sseMessage(event: 'video' | 'progress', data: Video | Progress): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** Live changes for browsers: videos as they change here, progress as Redis tells it. */
export class EventFeed {
  readonly #listeners = new Set<ServerResponse>()
  readonly #changed = new Set<string>()
  readonly #options: { maxListeners: number; load: (id: string) => Promise<Video | undefined>; log: Logger }
  #heartbeat: NodeJS.Timeout | undefined
  #flushing: Promise<void> | undefined

  constructor(options: { maxListeners: number; load: (id: string) => Promise<Video | undefined>; log: Logger }) {
    this.#options = options
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** @param redis a connection of its own: it subscribes. */
  start(redis: Redis): void {
    this.#heartbeat = setInterval(() => this.#send(': still here\n\n'), HEARTBEAT_MS)
    redis.on('message', (channel, message) => {
      if (channel === PROGRESS_CHANNEL && this.#listeners.size > 0) this.#progress(message)
    })
    redis.subscribe(PROGRESS_CHANNEL).catch((error: Error) => this.#options.log.warn({ err: error }, 'progress not subscribed'))
  }

  /** @throws MillraceError `too-many-listeners` (503) */
  add(response: ServerResponse): void {
    if (this.#listeners.size >= this.#options.maxListeners) {
      throw new MillraceError(`${this.#listeners.size} listeners are enough`, {
        code: 'too-many-listeners',
        source: 'internal',
        retryable: true,
        status: 503,
      })
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // nginx and the like must not hold messages back.
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
    })
    response.write('retry: 1000\n\n')
    this.#listeners.add(response)
    response.on('close', () => this.#listeners.delete(response))
  }

  /** Something about this video changed: listeners get it as it is by now; many changes at once are one message. */
  changed(videoId: string): void {
    if (this.#listeners.size === 0) return
    this.#changed.add(videoId)
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
  }

  async stop(): Promise<void> {
    clearInterval(this.#heartbeat)
    for (const response of this.#listeners) response.end()
    // A change that is being read now has nobody to go to any more.
    this.#listeners.clear()
    await this.#flushing
  }

  async #flush(): Promise<void> {
    while (this.#changed.size > 0) {
      const ids = [...this.#changed]
      this.#changed.clear()
      for (const id of ids) {
        try {
          const video = await this.#options.load(id)
          if (video) this.#send(sseMessage('video', video))
        } catch (error) {
          // The page asks for everything again when it reconnects.
          this.#options.log.warn({ err: error, videoId: id }, 'change not told; cutting the listeners')
          for (const response of this.#listeners) response.destroy()
        }
      }
    }
  }

  #progress(message: string): void {
    let json: unknown
    try {
      json = JSON.parse(message)
    } catch {
      return
    }
    const parsed = progressSchema.safeParse(json)
    if (parsed.success) this.#send(sseMessage('progress', parsed.data))
  }

  #send(text: string): void {
    for (const response of this.#listeners) {
      if (response.writableLength > MAX_BACKLOG_BYTES) response.destroy()
      else response.write(text)
    }
  }
}
