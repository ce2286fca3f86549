import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import { retry } from '@millrace/common/http/retry'
import type { Dispatcher } from 'undici'

/** One GET of the source, redirects already followed. */
export type OpenSource = (headers: Record<string, string>, signal: AbortSignal) => Promise<Dispatcher.ResponseData>

export interface FetchOptions {
  open: OpenSource
  /** The file to make. */
  path: string
  maxBytes: number
  /** What a stored source must be. Its parts are then safe to join without a validator. */
  expected?: { bytes: number; sha256: string }
  attempts: number
  /** For all attempts together. */
  timeoutMs: number
  signal: AbortSignal
  onProgress: (received: number, total: number | undefined) => void
  onRetry?: (error: unknown, attempt: number, delayMs: number) => void
}

export interface Fetched {
  bytes: number
  sha256: string
}

interface Download {
  file: FileHandle
  received: number
  hash: Hash
  total: number | undefined
  /** A strong validator of what was received (RFC 9110 §8.8.1): only with one may a range be joined to it. */
  etag: string | undefined
}

/**
 * Brings a source into a file: hashed while it streams, going on by range where a transfer broke (RFC 9110 §14), within `maxBytes`
 * whatever the server says.
 *
 * @throws MillraceError `source-not-found`, `source-refused`, `source-too-large`, `source-is-html`, `source-empty`, `source-changed`,
 *   `source-too-slow`; retryable: `source-unavailable`, `source-broken-off`.
 */
export async function fetchSource(options: FetchOptions): Promise<Fetched> {
  if (options.expected && options.expected.bytes > options.maxBytes) throw tooLarge(options.maxBytes)
  const file = await open(options.path, 'wx+', 0o600)
  const timeout = AbortSignal.timeout(options.timeoutMs)
  try {
    const download: Download = { file, received: 0, hash: createHash('sha256'), total: undefined, etag: undefined }
    const { attempts, onRetry } = options
    const signal = AbortSignal.any([options.signal, timeout])
    const retries = { attempts, firstDelayMs: 250, maxDelayMs: 10_000, signal, ...(onRetry && { onRetry }) }
    await retry(retries, () => advance(download, { ...options, signal }))
    return await accept(download, options.expected)
  } catch (error) {
    throw timeout.aborted && !options.signal.aborted && !(error instanceof MillraceError) ? tooSlow(options.timeoutMs) : error
  } finally {
    await file.close()
  }
}

/** One request: from the start, or from where the last one broke. */
async function advance(download: Download, options: FetchOptions): Promise<void> {
  const { signal, maxBytes } = options
  const resumable = download.received > 0 && (options.expected !== undefined || download.etag !== undefined)
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (resumable) {
    headers.range = `bytes=${download.received}-`
    if (download.etag) headers['if-range'] = download.etag
  }
  const response = await options.open(headers, signal)
  const start = response.statusCode === 206 ? rangeStart(response.headers['content-range']) : 0
  if (response.statusCode === 206 ? start !== download.received : response.statusCode !== 200) {
    await response.body.dump()
    // A range that can't be had or isn't the one asked for: the next request starts over.
    if (response.statusCode === 206 || response.statusCode === 416) await startOver(download)
    throw refusal(response.statusCode)
  }
  if (start === 0 && download.received > 0) await startOver(download)
  const mediaType = String(response.headers['content-type'] ?? '').toLowerCase()
  const length = Number(response.headers['content-length'] ?? Number.NaN)
  download.total = Number.isSafeInteger(length) ? start + length : undefined
  download.etag = strongEtag(response.headers.etag)
  const problem = mediaType.startsWith('text/html') ? isHtml() : (download.total ?? 0) > maxBytes ? tooLarge(maxBytes) : undefined
  if (problem) {
    await response.body.dump()
    throw problem
  }
  await receive(download, response.body, options)
}

async function receive(download: Download, body: AsyncIterable<Buffer>, options: FetchOptions): Promise<void> {
  try {
    for await (const chunk of body) {
      if (download.received + chunk.length > options.maxBytes) throw tooLarge(options.maxBytes)
      await keep(download, chunk)
      download.hash.update(chunk)
      download.received += chunk.length
      options.onProgress(download.received, download.total)
    }
  } catch (error) {
    if (error instanceof MillraceError || options.signal.aborted) throw error
    throw brokenOff(`the transfer broke after ${download.received} bytes: ${(error as Error).message}`, error)
  }
  if (download.total !== undefined && download.received !== download.total)
    throw brokenOff(`the transfer ended after ${download.received} of ${download.total} bytes`)
}

async function keep(download: Download, chunk: Buffer): Promise<void> {
  try {
    // A write may be short, as on a disk that is almost full.
    for (let done = 0; done < chunk.length; )
      done += (await download.file.write(chunk, done, chunk.length - done, download.received + done)).bytesWritten
  } catch (cause) {
    throw new MillraceError(`the source can't be stored: ${(cause as Error).message}`, {
      code: 'disk-write-failed',
      source: 'disk',
      retryable: true,
      cause,
    })
  }
}

async function accept(download: Download, expected: FetchOptions['expected']): Promise<Fetched> {
  const sha256 = download.hash.digest('hex')
  if (download.received === 0) throw new MillraceError('the source has zero bytes', clientFault('source-empty'))
  if (expected && (expected.sha256 !== sha256 || expected.bytes !== download.received))
    throw new MillraceError('the stored source is not what was uploaded: its size or checksum differs', {
      code: 'source-changed',
      source: 'internal',
      retryable: false,
    })
  const head = Buffer.alloc(1024)
  const { bytesRead } = await download.file.read(head, 0, head.length, 0)
  if (looksLikeHtml(head.subarray(0, bytesRead).toString('latin1'))) throw isHtml()
  return { bytes: download.received, sha256 }
}

/** Whether a body starts as a web page does, whatever its content type says. */
export function looksLikeHtml(start: string): boolean {
  return /^(?:\xef\xbb\xbf)?\s*(?:<!--[\s\S]*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]/i.test(start)
}

/** First byte of `bytes 100-199/200`; NaN for anything else. */
export function rangeStart(contentRange: string | string[] | undefined): number {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(?:\d{1,15}|\*)$/.exec(String(contentRange ?? ''))
  return match ? Number(match[1]) : Number.NaN
}

function strongEtag(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^"[^"]*"$/.test(value) ? value : undefined
}

async function startOver(download: Download): Promise<void> {
  await download.file.truncate(0)
  download.received = 0
  download.hash = createHash('sha256')
  download.etag = undefined
}

function refusal(status: number): MillraceError {
  if (status === 404 || status === 410)
    return new MillraceError(`the source's server answered ${status}: there is no such file`, clientFault('source-not-found'))
  if (status >= 500 || status === 429 || status === 408 || status === 206 || status === 416)
    return new MillraceError(`the source's server answered ${status}`, { code: 'source-unavailable', source: 'transfer', retryable: true })
  return new MillraceError(`the source's server answered ${status}`, clientFault('source-refused'))
}

function tooLarge(maxBytes: number): MillraceError {
  return new MillraceError(`the source is larger than the ${maxBytes} bytes allowed`, clientFault('source-too-large'))
}

function tooSlow(timeoutMs: number): MillraceError {
  return new MillraceError(`the source did not arrive within ${timeoutMs} ms`, {
    code: 'source-too-slow',
    source: 'transfer',
    retryable: false,
  })
}

function isHtml(): MillraceError {
  return new MillraceError('the source is a web page, not a media file', clientFault('source-is-html'))
}

function brokenOff(message: string, cause?: unknown): MillraceError {
  return new MillraceError(message, { code: 'source-broken-off', source: 'transfer', retryable: true, cause })
}

function clientFault(code: string) {
  return { code, source: 'client', retryable: false } as const
}
