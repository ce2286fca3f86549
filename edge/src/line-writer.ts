import { write } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'

const writeTo = promisify(write)

/** Lines wait for this long, or until there is this much of them. */
const FLUSH_MS = 200
const FLUSH_BYTES = 64 * 1024
/** A pipe takes so much as one piece, or nothing of it (PIPE_BUF in limits.h). */
const PIPE_BYTES = 4096
/** What may wait while the disk is slow, beside the batch that it is writing; in characters. */
const MAX_PENDING = 4 * 1024 * 1024

export interface LineWriterOptions {
  /** A file, or a descriptor that is open already, such as stdout; other processes may write there as well. */
  target: { path: string } | { fd: number }
  /** Told of each failed write or open. */
  onError: (error: unknown) => void
  flushMs?: number
  maxPending?: number
}

export interface LineStats {
  written: number
  /** Lines that nobody will see: there were too many, or their write failed. */
  dropped: number
  errors: number
}

/**
 * Appends lines to a file behind the requests' backs: never waits, never throws, and never takes more memory than its bound; what doesn't
 * fit or fails is counted. A batch of whole lines is one write with O_APPEND, so that several processes can share a file; a descriptor may be
 * a pipe, and gets as many whole lines at once as a pipe takes together.
 */
export class LineWriter {
  readonly stats: LineStats = { written: 0, dropped: 0, errors: 0 }
  readonly #options: LineWriterOptions
  readonly #flushMs: number
  readonly #maxPending: number
  #file: FileHandle | undefined
  #pending = ''
  #pendingLines = 0
  #timer: NodeJS.Timeout | undefined
  /** The file's last byte is not a line's end: a write stopped in the middle. */
  #torn = false
  /** One thing at a time is done with the file. */
  #busy: Promise<void> | undefined
  #wantsReopen = false

  private constructor(options: LineWriterOptions) {
    this.#options = options
    this.#flushMs = options.flushMs ?? FLUSH_MS
    this.#maxPending = options.maxPending ?? MAX_PENDING
  }

  /** @throws the file's error when it can't be opened: at start somebody is there to see it. */
  static async open(options: LineWriterOptions): Promise<LineWriter> {
    const writer = new LineWriter(options)
    if ('path' in options.target) writer.#file = await openForAppend(options.target.path)
    return writer
  }

  /** @param line ends with a line feed and contains no other */
  write(line: string): void {
    if (this.#pending.length + line.length > this.#maxPending) {
      this.stats.dropped++
      return
    }
    this.#pending += line
    this.#pendingLines++
    if (this.#pending.length >= FLUSH_BYTES) this.#start()
    else this.#timer ??= setTimeout(() => this.#start(), this.#flushMs).unref()
  }

  /** After logrotate has renamed the file: what is pending still goes into the old one, all later lines into a new one of the path. */
  reopen(): Promise<void> {
    this.#wantsReopen = true
    return this.flush()
  }

  /** Resolves when every line so far is written or dropped. */
  async flush(): Promise<void> {
    while (this.#pending !== '' || this.#busy || this.#wantsReopen) {
      this.#start()
      await this.#busy
    }
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#file?.close()
    this.#file = undefined
  }

  #start(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#busy ??= this.#work().finally(() => {
      this.#busy = undefined
      if (this.#wantsReopen || this.#pending.length >= FLUSH_BYTES) this.#start()
      else if (this.#pending !== '') this.#timer ??= setTimeout(() => this.#start(), this.#flushMs).unref()
    })
  }

  async #work(): Promise<void> {
    const text = this.#pending
    const lines = this.#pendingLines
    const reopen = this.#wantsReopen
    this.#pending = ''
    this.#pendingLines = 0
    this.#wantsReopen = false
    if (text !== '') await this.#append(text, lines)
    if (reopen) await this.#openAnew()
  }

  async #append(text: string, lines: number): Promise<void> {
    const buffer = Buffer.from(this.#torn ? `\n${text}` : text)
    let at = 0
    try {
      while (at < buffer.length) at += await this.#writeSome(buffer, at)
      this.#torn = false
      this.stats.written += lines
    } catch (error) {
      this.stats.errors++
      this.stats.dropped += lines
      if (at > 0) this.#torn = true
      this.#options.onError(error)
    }
  }

  async #writeSome(buffer: Buffer, at: number): Promise<number> {
    const fd = this.#file ? this.#file.fd : (this.#options.target as { fd: number }).fd
    const end = this.#file ? buffer.length : endOfPiece(buffer, at)
    for (;;) {
      try {
        return (await writeTo(fd, buffer, at, end - at, null)).bytesWritten
      } catch (error) {
        // A pipe that is full, as stdout may be: lines wait meanwhile within their bound.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
        await new Promise((resolve) => setTimeout(resolve, this.#flushMs))
      }
    }
  }

  async #openAnew(): Promise<void> {
    const { target, onError } = this.#options
    if (!('path' in target)) return
    try {
      const next = await openForAppend(target.path)
      const old = this.#file
      this.#file = next
      this.#torn = false
      await old?.close()
    } catch (error) {
      // The old file goes on taking lines.
      this.stats.errors++
      onError(error)
    }
  }
}

/** Where the whole lines end that go together; a longer line goes by itself. */
function endOfPiece(buffer: Buffer, at: number): number {
  if (buffer.length - at <= PIPE_BYTES) return buffer.length
  const last = buffer.lastIndexOf(LINE_FEED, at + PIPE_BYTES - 1)
  return last >= at ? last + 1 : buffer.indexOf(LINE_FEED, at) + 1
}

const LINE_FEED = 0x0a

function openForAppend(path: string): Promise<FileHandle> {
  return open(path, 'a', 0o640)
}
