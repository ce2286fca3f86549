import { MillraceError } from '@millrace/common/errors'
import { VERSION } from '@millrace/common/version'
import { errors, Pool } from 'undici'

export interface OriginRequest {
  /** A fill reads as fast as its origin sends; what passes by the cache goes at a client's pace. */
  purpose: 'fill' | 'pass'
  method: 'GET' | 'HEAD'
  /** Canonical data path. */
  path: string
  range?: string | undefined
  signal: AbortSignal
}

export interface OriginAnswer {
  origin: string
  status: number
  /** Names in lower case; several lines of one name joined by a comma. */
  headers: Record<string, string | undefined>
  /** Of the body, where the origin says so. */
  length: number | undefined
  /**
   * Its first bytes are here already: an origin that breaks before them has not answered. Read once, or discarded.
   *
   * @throws MillraceError `origin-timeout` or `origin-unreachable` from the iteration when the body ends early.
   */
  body: AsyncIterable<Uint8Array>
  /** Lets go of a body that nobody reads. A short one is read to its end behind the scenes, which keeps the connection. */
  discard: () => void
}

export interface OriginOptions {
  id: string
  /** Scheme, host and port. */
  url: string
  edgeId: string
  /** For fills. */
  connections: number
  connectTimeoutMs: number
  headersTimeoutMs: number
  bodyTimeoutMs: number
}

const MAX_DRAIN = 65_536

/** HTTP/1.1 to one origin. Connections for fills are bounded; slow clients have others, so that they can't take those from everybody. */
export class Origin {
  readonly id: string
  readonly #options: OriginOptions
  readonly #pools: Record<OriginRequest['purpose'], Pool>

  constructor(options: OriginOptions) {
    this.id = options.id
    this.#options = options
    const pool = (connections: number | null) =>
      new Pool(options.url, {
        connections,
        connect: { timeout: options.connectTimeoutMs },
        headersTimeout: options.headersTimeoutMs,
        bodyTimeout: options.bodyTimeoutMs,
        keepAliveTimeout: 4000,
      })
    this.#pools = { fill: pool(options.connections), pass: pool(null) }
  }

  /** @throws MillraceError `origin-timeout` or `origin-unreachable`. */
  async fetch(request: OriginRequest): Promise<OriginAnswer> {
    // undici counts from when a connection takes the request; this also bounds the wait for one.
    const deadline = new AbortController()
    const limit = this.#options.connectTimeoutMs + this.#options.headersTimeoutMs
    const timer = setTimeout(() => deadline.abort(new errors.HeadersTimeoutError()), limit)
    const abort = () => deadline.abort(request.signal.reason)
    request.signal.addEventListener('abort', abort, { once: true })
    if (request.signal.aborted) abort()
    const settled = () => {
      clearTimeout(timer)
      request.signal.removeEventListener('abort', abort)
    }
    try {
      const { statusCode, headers, body } = await this.#pools[request.purpose].request({
        method: request.method,
        path: request.path,
        headers: {
          'accept-encoding': 'identity',
          // RFC 9110 §7.6.3: an intermediary MUST send Via with each message that it forwards.
          via: `1.1 ${this.#options.edgeId}`,
          'user-agent': `millrace-edge/${VERSION}`,
          ...(request.range !== undefined && { range: request.range }),
        },
        signal: deadline.signal,
      })
      // A failed body is told by its iterator; undici emits it a second time, also when nobody reads.
      body.on('error', () => undefined)
      const iterator = body[Symbol.asyncIterator]()
      const first = await iterator.next()
      clearTimeout(timer)
      const length = contentLength(headers['content-length'])
      return {
        origin: this.id,
        status: statusCode,
        headers: flatten(headers),
        length,
        body: this.#chunks(first, iterator, settled),
        discard: () => {
          settled()
          if (length !== undefined && length <= MAX_DRAIN) exhaust(iterator).catch(() => body.destroy())
          else body.destroy()
        },
      }
    } catch (error) {
      settled()
      throw this.#failure(error)
    }
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#pools).map((pool) => pool.destroy()))
  }

  async *#chunks(first: IteratorResult<Uint8Array>, iterator: AsyncIterator<Uint8Array>, settled: () => void): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; !next.done; next = await iterator.next()) yield next.value
    } catch (error) {
      throw this.#failure(error)
    } finally {
      settled()
      await iterator.return?.()
    }
  }

  #failure(error: unknown): MillraceError {
    const timeout =
      error instanceof errors.ConnectTimeoutError || error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError
    return new MillraceError(`origin ${this.id}: ${(error as Error).message}`, {
      code: timeout ? 'origin-timeout' : 'origin-unreachable',
      source: 'origin',
      retryable: true,
      cause: error,
    })
  }
}

async function exhaust(iterator: AsyncIterator<Uint8Array>): Promise<void> {
  while (!(await iterator.next()).done);
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string | undefined> {
  const flat: Record<string, string | undefined> = {}
  for (const [name, value] of Object.entries(headers)) {
    const text = Array.isArray(value) ? value.join(', ') : value
    if (text !== undefined) flat[name] = text
  }
  return flat
}

function contentLength(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}
