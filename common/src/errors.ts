import { z } from 'zod'

/** Where a failure comes from: who has to act. */
export const ERROR_SOURCES = ['client', 'source-media', 'encoder', 'transfer', 'origin', 'disk', 'internal'] as const
export type ErrorSource = (typeof ERROR_SOURCES)[number]

export interface ErrorFields {
  /** Stable kebab-case name that callers may test for. */
  code: string
  source: ErrorSource
  /** Whether the same request may succeed later without anybody's change. */
  retryable: boolean
  /** HTTP status when this error answers a request; default by source. */
  status?: number
  cause?: unknown
  /** Further facts for people, such as a child's last lines. Never secrets. */
  detail?: string
}

/** The one error class of Millrace. Retry policies and HTTP answers read its fields, never its message. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError'
  readonly code: string
  readonly source: ErrorSource
  readonly retryable: boolean
  readonly status: number
  readonly detail: string | undefined

  constructor(message: string, fields: ErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = fields.code
    this.source = fields.source
    this.retryable = fields.retryable
    this.status = fields.status ?? DEFAULT_STATUS[fields.source]
    this.detail = fields.detail
  }
}

const DEFAULT_STATUS: Record<ErrorSource, number> = {
  client: 400,
  'source-media': 422,
  encoder: 500,
  transfer: 502,
  origin: 502,
  disk: 507,
  internal: 500,
}

/** How an error crosses the wire: in events, operations and problem documents. */
export const errorBodySchema = z.object({
  code: z.string().min(1).max(100),
  source: z.enum(ERROR_SOURCES),
  retryable: z.boolean(),
  message: z.string().max(2000),
  detail: z.string().max(16_000).optional(),
})
export type ErrorBody = z.infer<typeof errorBodySchema>

/** Any thrown value as a wire error; what is not ours becomes `internal`, retryable. */
export function toErrorBody(error: unknown): ErrorBody {
  if (error instanceof MillraceError) {
    const body: ErrorBody = { code: error.code, source: error.source, retryable: error.retryable, message: error.message.slice(0, 2000) }
    if (error.detail) body.detail = error.detail.slice(-16_000)
    return body
  }
  const message = error instanceof Error ? error.message : String(error)
  return { code: systemCode(error) ?? 'internal', source: 'internal', retryable: true, message: message.slice(0, 2000) }
}

export function fromErrorBody(body: ErrorBody): MillraceError {
  const { message, ...fields } = body
  return new MillraceError(message, fields)
}

/** RFC 9457 problem document. */
export function toProblem(error: unknown): { status: number; body: Record<string, unknown> } {
  const body = toErrorBody(error)
  const status = error instanceof MillraceError ? error.status : 500
  // What is not ours may carry paths or addresses: the log has it, the client doesn't.
  const title = error instanceof MillraceError ? body.message : 'internal error'
  return {
    status,
    body: {
      type: 'about:blank',
      title,
      status,
      code: body.code,
      source: body.source,
      retryable: body.retryable,
      ...(body.detail && { detail: body.detail }),
    },
  }
}

function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(code) ? code.toLowerCase().replaceAll('_', '-') : undefined
}
