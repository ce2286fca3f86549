import { MillraceError } from '@millrace/common/errors'
import { Agent, errors, request } from 'undici'
import type { HeaderField } from '../src/cache/entry-meta.js'
import type { Attempt, AttemptOutcome, Fetched, OriginAnswer, OriginGroup, OriginRequest } from '../src/origin/contract.js'

type GroupRequest = Parameters<OriginGroup['fetch']>[1]

/** Real HTTP to the origins of a test, one after the other: no health, no budget, one continuation at the next origin. */
export class SimpleOrigins implements OriginGroup {
  readonly #urls: ReadonlyMap<string, string>
  readonly #agent: Agent

  constructor(urls: Record<string, string>, timeoutMs = 2000) {
    this.#urls = new Map(Object.entries(urls))
    this.#agent = new Agent({ headersTimeout: timeoutMs, bodyTimeout: timeoutMs, connections: 512 })
  }

  order(route: readonly string[]): string[] {
    return route.filter((id) => this.#urls.has(id))
  }

  async fetch(order: readonly string[], asked: GroupRequest): Promise<Fetched> {
    const beyond = asked.beyondRoute ? [...this.#urls.keys()].filter((id) => !order.includes(id)) : []
    const attempts: Attempt[] = []
    for (const origin of [...order, ...beyond]) {
      let outcome: AttemptOutcome
      try {
        const answer = await this.#ask(origin, asked)
        outcome = asked.wanted(answer.status) ? 'ok' : outcomeOf(answer.status)
        attempts.push({ origin, outcome })
        if (outcome === 'ok') return { ok: true, answer, attempts }
        answer.discard()
        continue
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        outcome = error.code === 'origin-timeout' ? 'timeout' : 'unreachable'
      }
      attempts.push({ origin, outcome })
    }
    return { ok: false, attempts }
  }

  async *continued(
    answer: OriginAnswer,
    order: readonly string[],
    asked: OriginRequest,
    readBack: (start: number, end: number) => Promise<Uint8Array>,
  ): AsyncIterable<Uint8Array> {
    let at = 0
    try {
      for await (const chunk of answer.body) {
        yield chunk
        at += chunk.length
      }
    } catch (error) {
      const next = order[order.indexOf(answer.origin) + 1]
      if (next === undefined || answer.headers.etag === undefined || answer.length === undefined) throw error
      const from = Math.max(0, at - 65_536)
      const rest = await this.#ask(next, { ...asked, headers: [...(asked.headers ?? []), ['range', `bytes=${from}-`]] })
      const overlap = Buffer.from(await readBack(from, at))
      const same = rest.status === 206 && rest.headers.etag === answer.headers.etag
      if (!same) {
        rest.discard()
        throw error
      }
      let skipped = 0
      for await (const chunk of rest.body) {
        const part = Math.min(chunk.length, overlap.length - skipped)
        if (!overlap.subarray(skipped, skipped + part).equals(chunk.subarray(0, part))) throw error
        skipped += part
        if (part < chunk.length) yield chunk.subarray(part)
      }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #ask(origin: string, asked: OriginRequest): Promise<OriginAnswer> {
    const fail = (error: unknown) => {
      const timeout = error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError
      return new MillraceError(`${origin}: ${(error as Error).message}`, {
        code: timeout ? 'origin-timeout' : 'origin-unreachable',
        source: 'origin',
        retryable: true,
        cause: error,
      })
    }
    try {
      const response = await request(this.#urls.get(origin)! + asked.path, {
        dispatcher: this.#agent,
        method: 'GET',
        headers: asked.headers?.flat() ?? [],
        signal: asked.signal,
        responseHeaders: 'raw',
      })
      const raw = response.headers as unknown as Buffer[]
      const fields: HeaderField[] = []
      for (let i = 0; i + 1 < raw.length; i += 2) fields.push([raw[i]!.toString('latin1').toLowerCase(), raw[i + 1]!.toString('latin1')])
      const headers: Record<string, string> = {}
      for (const [name, value] of fields) headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
      const length = headers['content-length']
      const { body } = response
      body.on('error', () => undefined)
      const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
      const first = await iterator.next()
      return {
        origin,
        status: response.statusCode,
        headers,
        fields,
        length: length === undefined ? undefined : Number(length),
        body: (async function* () {
          try {
            for (let next = first; !next.done; next = await iterator.next()) yield next.value
          } catch (error) {
            throw fail(error)
          } finally {
            await iterator.return?.()
          }
        })(),
        discard: () => body.destroy(),
        leaveFills: () => undefined,
      }
    } catch (error) {
      throw fail(error)
    }
  }
}

function outcomeOf(status: number): AttemptOutcome {
  if (status === 404 || status === 410) return 'missing'
  return status >= 500 ? 'server-error' : 'rejected'
}
