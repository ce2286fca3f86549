import { ERROR_SOURCES, type ErrorBody, MillraceError, toErrorBody } from '@millrace/common/errors'
import { z } from 'zod'
import { entryMetaSchema, type FillMeta } from '../../cache/entry-meta.js'
import { KEY_HASH } from '../../cache/key.js'
import { ATTEMPT_OUTCOMES, type OriginAnswer } from '../../origin/contract.js'
import { type FillHead, type FillRequest, MISS_CAUSES, type PassReason } from '../contract.js'

/** Raised when a message changes its meaning. A keeper and a worker of different versions don't talk. */
export const PROTOCOL = 2

const hash = z.string().regex(KEY_HASH)
const number = z.number().int().nonnegative()
/**
 * A field of a client's request, of whatever length its server took (128 KiB at most, which fits a frame): what may be stored of a response
 * is narrower. Nothing that ends a line.
 */
const requestField = z.tuple([z.string().regex(/^[!#$%&'*+.^_`|~0-9a-z-]+$/), z.string().regex(/^[\t\x20-\xff]*$/)])

const requestSchema: z.ZodType<FillRequest> = z.object({
  key: z.object({ text: z.string().max(2500), hash }),
  order: z.array(z.string().max(32)).max(1024),
  upstream: z.discriminatedUnion('mode', [
    z.object({ mode: z.literal('media'), path: z.string() }),
    z.object({ mode: z.literal('generic'), path: z.string(), headers: z.array(requestField) }),
  ]),
  trace: z.object({ requestId: z.string(), traceparent: z.string().optional() }).optional(),
  takesAnswer: z.boolean().optional(),
})

/** Whether a keeper takes this request. One that can't cross has to be answered past it. */
export function canCross(request: FillRequest): boolean {
  return requestSchema.safeParse(request).success
}

const numberedOpen = z.object({ t: z.literal('open'), n: number })

/** The number of an `open` that is none of ours otherwise, so that it alone is refused, and not the connection with all that runs over it. */
export function numberOfOpen(message: unknown): number | undefined {
  return numberedOpen.safeParse(message).data?.n
}

const caller = { protocol: z.number(), worker: z.string().min(1).max(64) }

/** The first message of a connection: which process this is, as the supervisor calls it, and what it wants. */
export const greetingSchema = z.discriminatedUnion('t', [
  /** To be served. */
  z.object({ t: z.literal('hello'), ...caller }),
  /** The body of the answer that came with a fill's head. Nothing more is said on this connection but `AnswerPart`s. */
  z.object({ t: z.literal('take'), ...caller, fill: number }),
])
export type Greeting = z.infer<typeof greetingSchema>

/** What workers tell their keeper after `hello`. */
export const toKeeperSchema = z.discriminatedUnion('t', [
  z.object({ t: z.literal('open'), n: number, request: requestSchema }),
  z.object({ t: z.literal('prefetch'), request: requestSchema }),
  z.object({ t: z.literal('used'), hashes: z.array(hash) }),
  z.object({ t: z.literal('damaged'), entries: z.array(z.tuple([hash, z.string().max(64)])) }),
  /** What is stored under these keys may be wrong (RFC 9111 §4.4): every worker is to know before it is answered. */
  z.object({ t: z.literal('invalidate'), n: number, keys: z.array(z.string().min(1).max(2500)).max(16) }),
  /** The purges up to this number are in force in this worker. */
  z.object({ t: z.literal('purged'), n: number }),
  /** The answer that came with this fill's head is not wanted. */
  z.object({ t: z.literal('untaken'), fill: number }),
  z.object({ t: z.literal('ping') }),
])
export type ToKeeper = z.infer<typeof toKeeperSchema>

const reason = z.string().max(64) as unknown as z.ZodType<PassReason>
const growthState = z.enum(['running', 'complete', 'broken', 'lost'])
/** `Growth.state`, and `lost` for what is broken and `Growth.lost`. */
export type ToldState = z.infer<typeof growthState>
const fillMetaSchema = entryMetaSchema
  .extend({ length: number.optional() })
  .transform((meta): FillMeta => ({ ...meta, length: meta.length }))

const answerSchema = z.object({
  origin: z.string().max(32),
  status: z.number().int(),
  fields: z.array(z.tuple([z.string(), z.string()])),
  length: number.optional(),
})
/** An origin's answer without its body. */
export type AnswerMessage = z.infer<typeof answerSchema>

const headSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), meta: fillMetaSchema, cause: z.enum(MISS_CAUSES), path: z.string(), bodyOffset: number }),
  z.object({ kind: z.literal('stored') }),
  z.object({ kind: z.literal('pass'), reason, answer: answerSchema.optional() }),
  z.object({ kind: z.literal('failed'), attempts: z.array(z.object({ origin: z.string(), outcome: z.enum(ATTEMPT_OUTCOMES) })) }),
])
export type HeadMessage = z.input<typeof headSchema>

const errorSchema = z.object({
  code: z.string(),
  source: z.enum(ERROR_SOURCES),
  retryable: z.boolean(),
  message: z.string(),
  detail: z.string().optional(),
  status: z.number().optional(),
})

/** What a keeper tells its workers. */
export const toWorkerSchema = z.discriminatedUnion('t', [
  /** Answers `hello`; the snapshot of the purges follows. */
  z.object({ t: z.literal('welcome'), protocol: z.number(), disksOut: z.array(z.string()) }),
  /** A part of the snapshot; the last one has the number up to which it goes. */
  z.object({ t: z.literal('purges'), lines: z.array(z.string()), n: number.optional() }),
  z.object({ t: z.literal('purge'), n: number, line: z.string() }),
  z.object({
    t: z.literal('opened'),
    n: number,
    opened: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('stored'), revalidated: z.boolean() }),
      z.object({ kind: z.literal('fill'), fill: number, led: z.boolean() }),
      z.object({ kind: z.literal('missing') }),
      z.object({ kind: z.literal('pass'), reason }),
    ]),
  }),
  z.object({ t: z.literal('refused'), n: number, error: errorSchema }),
  z.object({ t: z.literal('invalidated'), n: number, error: errorSchema.optional() }),
  /** Its tail: the first bytes. */
  z.object({ t: z.literal('head'), fill: number, head: headSchema, available: number, state: growthState }),
  z.object({ t: z.literal('growth'), fills: z.array(z.tuple([number, number, growthState])) }),
  z.object({ t: z.literal('gone'), hashes: z.array(hash) }),
  z.object({ t: z.literal('reset') }),
  z.object({ t: z.literal('disks-out'), paths: z.array(z.string()) }),
  z.object({ t: z.literal('pong') }),
])
export type ToWorker = z.infer<typeof toWorkerSchema>
/** As it is sent. */
export type WorkerMessage = z.input<typeof toWorkerSchema>

/** What a keeper tells on a connection that began with `take`. */
export const answerPartSchema = z.discriminatedUnion('t', [
  /** Its tail: bytes of the body. */
  z.object({ t: z.literal('part') }),
  z.object({ t: z.literal('end') }),
  z.object({ t: z.literal('failed'), error: errorSchema }),
])
export type AnswerPart = z.infer<typeof answerPartSchema>

/**
 * A fill's head without its first bytes. What is in this process's memory can't be read by another one: that worker fetches by itself.
 *
 * @param withAnswer whether the answer that is not to be stored is kept for whom this is told
 */
export function headMessage(head: FillHead, withAnswer: boolean): HeadMessage {
  if (head.kind === 'pass')
    return { kind: 'pass', reason: head.reason, ...(withAnswer && head.answer && { answer: answerMessage(head.answer) }) }
  if (head.kind !== 'ready') return head
  if (head.location.kind !== 'file') return { kind: 'pass', reason: 'not-now' }
  return { kind: 'ready', meta: head.meta, cause: head.cause, path: head.location.path, bodyOffset: head.location.bodyOffset }
}

function answerMessage({ origin, status, fields, length }: OriginAnswer): AnswerMessage {
  return { origin, status, fields: [...fields], length }
}

/** @param take makes the answer whole that is told of */
export function headFrom(head: z.output<typeof headSchema>, first: Uint8Array, take: (answer: AnswerMessage) => OriginAnswer): FillHead {
  if (head.kind === 'stored') return { kind: 'stored', revalidated: true }
  if (head.kind === 'pass') return { kind: 'pass', reason: head.reason, ...(head.answer && { answer: take(head.answer) }) }
  if (head.kind !== 'ready') return head
  return {
    kind: 'ready',
    meta: head.meta,
    cause: head.cause,
    first,
    location: { kind: 'file', path: head.path, bodyOffset: head.bodyOffset },
  }
}

export type WireError = ErrorBody & { status?: number | undefined }

export function errorMessage(error: unknown): WireError {
  const body = toErrorBody(error)
  return error instanceof MillraceError ? { ...body, status: error.status } : body
}

export function errorFrom({ message, status, ...fields }: WireError): MillraceError {
  return new MillraceError(message, { ...fields, ...(status !== undefined && { status }) })
}
