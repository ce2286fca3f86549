import { type Dispatcher, request } from 'undici'
import type { z } from 'zod'
import { errorBodySchema, fromErrorBody, MillraceError } from '../errors.js'

export interface CallOptions<S extends z.ZodType | undefined> {
  method?: Dispatcher.HttpMethod
  token?: string
  body?: unknown
  timeoutMs: number
  /** Absent: the answer's body is thrown away and undefined returned. */
  schema?: S
  dispatcher?: Dispatcher
  signal?: AbortSignal
}

/**
 * One JSON call between tiers: bearer token, explicit timeout, answer checked against its contract.
 *
 * @throws MillraceError: the problem document's own code where there is one, else `http-<status>`; `unreachable` (retryable).
 */
export async function call<S extends z.ZodType | undefined = undefined>(
  url: string,
  options: CallOptions<S>,
): Promise<S extends z.ZodType ? z.output<S> : undefined> {
  const timeout = AbortSignal.timeout(options.timeoutMs)
  const headers: Record<string, string> = { accept: 'application/json' }
  if (options.token) headers.authorization = `Bearer ${options.token}`
  if (options.body !== undefined) headers['content-type'] = 'application/json'
  let status: number
  let text: string
  try {
    const response = await request(url, {
      method: options.method ?? 'GET',
      headers,
      signal: options.signal ? AbortSignal.any([timeout, options.signal]) : timeout,
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
      ...(options.dispatcher && { dispatcher: options.dispatcher }),
    })
    status = response.statusCode
    text = await response.body.text()
  } catch (error) {
    throw new MillraceError(`${new URL(url).host} did not answer: ${(error as Error).message}`, {
      code: 'unreachable',
      source: 'transfer',
      retryable: true,
      cause: error,
    })
  }
  const json = parseJson(text)
  if (status >= 400) throw answeredError(url, status, json)
  if (!options.schema) return undefined as never
  const parsed = options.schema.safeParse(json)
  if (parsed.success) return parsed.data as never
  throw new MillraceError(`${new URL(url).host} answered outside its contract: ${parsed.error.issues[0]?.message}`, {
    code: 'bad-answer',
    source: 'internal',
    retryable: false,
  })
}

function answeredError(url: string, status: number, json: unknown): MillraceError {
  const problem = json as { code?: unknown; title?: unknown; source?: unknown; retryable?: unknown; detail?: unknown } | undefined
  const body = errorBodySchema.safeParse({ ...problem, message: problem?.title })
  if (body.success) {
    const own = fromErrorBody(body.data)
    return new MillraceError(own.message, { ...own, detail: own.detail ?? '', status })
  }
  return new MillraceError(`${new URL(url).host} answered ${status}`, {
    code: `http-${status}`,
    source: 'transfer',
    retryable: status >= 500 || status === 429,
    status,
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
