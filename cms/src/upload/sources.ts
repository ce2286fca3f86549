import { createHash, randomUUID } from 'node:crypto'
import { constants, createWriteStream } from 'node:fs'
import { access, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { videoIdSchema } from '@millrace/common/contracts/ids'
import { MillraceError } from '@millrace/common/errors'

/** Leftovers of uploads that a killed process had in hand are no longer written to after this. */
const LEFTOVER_MS = 3_600_000

/** Sources storage: one file per video, complete or absent. */
export class Sources {
  readonly #folder: string
  readonly #unfinished: string
  readonly #maxBytes: number

  constructor(options: { path: string; maxBytes: number }) {
    this.#folder = options.path
    this.#unfinished = join(options.path, 'unfinished')
    this.#maxBytes = options.maxBytes
  }

  async prepare(): Promise<void> {
    await mkdir(this.#unfinished, { recursive: true, mode: 0o700 })
  }

  pathOf(videoId: string): string {
    return join(this.#folder, videoIdSchema.parse(videoId))
  }

  /**
   * Stores a body: unfinished → size checked → fsync → rename. Whatever goes wrong, nothing stays.
   *
   * @throws MillraceError `source-too-large` (413), `empty-upload` (400), `upload-aborted` (400), `disk-full` (507)
   */
  async store(videoId: string, body: Readable, declaredBytes?: number): Promise<{ bytes: number; sha256: string }> {
    if (declaredBytes !== undefined && declaredBytes > this.#maxBytes) throw this.#tooLarge()
    const unfinished = join(this.#unfinished, randomUUID())
    const hash = createHash('sha256')
    let bytes = 0
    const measure = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        bytes += chunk.length
        if (bytes > this.#maxBytes) return done(this.#tooLarge())
        hash.update(chunk)
        done(null, chunk)
      },
    })
    try {
      await pipeline(body, measure, createWriteStream(unfinished, { flags: 'wx', mode: 0o600, flush: true }))
      if (bytes === 0) throw clientError('empty-upload', 'the upload has no bytes')
      if (declaredBytes !== undefined && bytes !== declaredBytes) throw clientError('upload-aborted', 'the upload ended early')
      await rename(unfinished, this.pathOf(videoId))
      await this.#syncFolder()
      return { bytes, sha256: hash.digest('hex') }
    } catch (error) {
      await rm(unfinished, { force: true })
      throw uploadError(error)
    }
  }

  async remove(videoId: string): Promise<void> {
    await rm(this.pathOf(videoId), { force: true })
  }

  /** @returns why uploads can't be stored now. */
  async problem(): Promise<string | undefined> {
    return access(this.#unfinished, constants.W_OK).then(
      () => undefined,
      (error: Error) => error.message,
    )
  }

  /** Removes what crashes left: old unfinished uploads, and old files that no video needs. */
  async tidy(isNeeded: (videoId: string) => Promise<boolean>, now: number): Promise<string[]> {
    const removed: string[] = []
    for (const folder of [this.#unfinished, this.#folder]) {
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        if (!entry.isFile() || (folder === this.#folder && !videoIdSchema.safeParse(entry.name).success)) continue
        const path = join(folder, entry.name)
        const { mtimeMs } = await stat(path)
        if (now - mtimeMs < LEFTOVER_MS || (folder === this.#folder && (await isNeeded(entry.name)))) continue
        await rm(path, { force: true })
        removed.push(entry.name)
      }
    }
    return removed
  }

  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  }

  #tooLarge(): MillraceError {
    return clientError('source-too-large', `a source may have ${this.#maxBytes} bytes at most`, 413)
  }
}

function uploadError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new MillraceError('the sources folder is full', { code: 'disk-full', source: 'disk', retryable: true, cause: error })
  }
  if (code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET') return clientError('upload-aborted', 'the upload ended early')
  return error
}

function clientError(code: string, message: string, status = 400): MillraceError {
  return new MillraceError(message, { code, source: 'client', retryable: false, status })
}
