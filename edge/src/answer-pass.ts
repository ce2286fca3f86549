import { notModified } from '@millrace/common/http/conditional'
import { parseRange } from '@millrace/common/http/range'
import type { Exchange, HeaderList, RequestHeaders } from './http/exchange.js'
import { passHead } from './http/headers.js'
import type { Attempt } from './origin/fallback.js'
import type { OriginAnswer } from './origin/fetch.js'
import type { Origins } from './origin/origins.js'

export type Passed = { kind: 'answered'; origin: string } | { kind: 'exhausted'; attempts: Attempt[] } | { kind: 'left' }

/**
 * Streams an origin's answer to one client and stores nothing: for what may not be cached, and when the cache can't take it.
 *
 * @returns what became of it; `exhausted` when no origin gave the bytes and nothing was sent.
 */
export async function answerPass(
  exchange: Exchange,
  origins: Origins,
  order: readonly string[],
  path: string,
  extraOf: (origin: string) => HeaderList,
): Promise<Passed> {
  const abort = new AbortController()
  exchange.onAborted(() => abort.abort())
  if (exchange.aborted) return { kind: 'left' }
  const method = exchange.method === 'HEAD' ? 'HEAD' : 'GET'
  const range = method === 'GET' ? passableRange(exchange.headers) : undefined
  const wanted = range === undefined ? [200] : [200, 206, 416]
  const fetched = await origins.fetch(order, { purpose: 'pass', method, path, range, wanted, signal: abort.signal })
  if (!fetched.ok) return exchange.aborted ? { kind: 'left' } : { kind: 'exhausted', attempts: fetched.attempts }
  const { answer } = fetched
  const extra = extraOf(answer.origin)
  const validators = { etag: answer.headers.etag, lastModified: answer.headers['last-modified'] }
  if (notModified(exchange.headers, validators)) {
    answer.discard()
    exchange.answerHead(passHead(304, answer, extra))
  } else if (method === 'HEAD') {
    answer.discard()
    exchange.answerHead(passHead(answer.status, answer, extra), answer.length)
  } else {
    await stream(exchange, answer, extra)
  }
  return { kind: 'answered', origin: answer.origin }
}

/** The Range to ask an origin for: never what no origin could read. Without one the whole is right in any case. */
function passableRange({ range, ifRange }: RequestHeaders): string | undefined {
  // Whether an If-Range holds is only known with the answer.
  if (ifRange !== undefined) return undefined
  return parseRange(range, Number.MAX_SAFE_INTEGER).kind === 'whole' ? undefined : range
}

async function stream(exchange: Exchange, answer: OriginAnswer, extra: HeaderList): Promise<void> {
  const head = passHead(answer.status, answer, extra)
  const { length } = answer
  let sent = 0
  try {
    for await (const chunk of answer.body) {
      if (exchange.aborted) return
      sent += chunk.length
      if (length === undefined) await exchange.sendChunk(head, chunk)
      else if (sent <= length) await exchange.send(head, chunk, length)
      else return exchange.cut()
    }
  } catch {
    // A stream's failure can only be shown by a closed connection; the origins have counted it.
    exchange.cut()
    return
  }
  if (length === undefined) exchange.endChunks(head)
  else if (sent < length) exchange.cut()
  else if (length === 0) exchange.answer(head, '')
}
