import { MillraceError } from '@millrace/common/errors'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { OriginAnswer } from '../../origin/contract.js'
import type { FillHead } from '../contract.js'
import { errorFrom, errorMessage, headFrom, headMessage, toKeeperSchema, toWorkerSchema } from './messages.js'

const HASH = '0123456789abcdef0123456789abcdef'
const ANSWER: OriginAnswer = {
  origin: 'o1',
  status: 200,
  headers: { 'cache-control': 'private', 'x-odd': 'é' },
  fields: [
    ['cache-control', 'private'],
    ['x-odd', 'é'],
  ],
  length: undefined,
  body: (async function* () {})(),
  discard: () => undefined,
  leaveFills: () => undefined,
}
const OPEN = {
  t: 'open',
  n: 1,
  request: { key: { text: '/dash/x', hash: HASH }, order: ['o1'], upstream: { mode: 'media', path: '/dash/x' } },
}

describe('messages of a worker', () => {
  it('are refused when they are not as they should be', () => {
    const bad = [
      null,
      [],
      { t: 'constructor' },
      { ...OPEN, n: -1 },
      { ...OPEN, request: { ...OPEN.request, key: { text: '/x', hash: '../../etc/passwd' } } },
      { ...OPEN, request: { ...OPEN.request, upstream: { mode: 'generic', path: '/', headers: [['x-a', 'b\r\nc: d']] } } },
      { t: 'used', hashes: ['..'] },
    ]
    for (const message of bad) expect(toKeeperSchema.safeParse(message).success, JSON.stringify(message)).toBe(false)
    expect(toKeeperSchema.safeParse(OPEN).success).toBe(true)
  })

  it('carry whatever fields a server takes of a client', () => {
    const long = 'c'.repeat(100_000)
    for (const field of [
      ['cookie', long],
      [long, 'x'],
      ['x-odd', 'a\x7f\xe9'],
    ]) {
      const upstream = { mode: 'generic', path: '/', headers: [field] }
      expect(toKeeperSchema.safeParse({ ...OPEN, request: { ...OPEN.request, upstream } }).success).toBe(true)
    }
  })

  it('of any JSON are messages or refused, and never make the parser throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        toKeeperSchema.safeParse(value)
        toWorkerSchema.safeParse(value)
      }),
    )
  })
})

describe("a fill's head", () => {
  const meta = {
    id: '0123456789abcdef',
    key: '/dash/x',
    status: 200,
    headers: [['etag', '"é"']] as [string, string][],
    length: undefined,
    origin: 'o1',
    generation: 1,
    bornAt: 1,
    freshUntil: 2,
    staleWhileRevalidate: 0,
    staleIfError: 0,
  }
  const across = (head: FillHead): FillHead => {
    const message = toWorkerSchema.parse(
      JSON.parse(JSON.stringify({ t: 'head', fill: 1, head: headMessage(head, true), available: 3, state: 'running' })),
    )
    if (message.t !== 'head') throw new Error('not a head')
    return headFrom(message.head, head.kind === 'ready' ? head.first : new Uint8Array(), (answer) => ({
      ...ANSWER,
      ...answer,
      length: answer.length,
    }))
  }

  it('whose bytes are in the memory of the keeper makes the worker fetch by itself', () => {
    const chunks = { view: () => new Uint8Array(1) }
    const head: FillHead = { kind: 'ready', meta, cause: 'cold', first: new Uint8Array(1), location: { kind: 'memory', chunks } }
    expect(across(head)).toEqual({ kind: 'pass', reason: 'not-now' })
  })

  it('has the answer that is not to be stored for whom it is kept, and for nobody else', () => {
    const head: FillHead = { kind: 'pass', reason: 'directive', answer: ANSWER }
    expect(across(head)).toEqual(head)
    expect(headMessage(head, false)).toEqual({ kind: 'pass', reason: 'directive' })
  })

  it('crosses unchanged, also without a length', () => {
    const location = { kind: 'file', path: '/cache/tmp/1', bodyOffset: 4096 } as const
    const heads: FillHead[] = [
      { kind: 'ready', meta, cause: 'evicted', first: new Uint8Array([1, 2, 3]), location },
      { kind: 'ready', meta: { ...meta, length: 5 }, cause: 'cold', first: new Uint8Array(), location },
      { kind: 'stored', revalidated: true },
      { kind: 'pass', reason: 'directive' },
      { kind: 'failed', attempts: [{ origin: 'o1', outcome: 'timeout' }] },
    ]
    for (const head of heads) expect(across(head)).toEqual(head)
  })
})

it('an error crosses with its code, source and status', () => {
  const error = new MillraceError('full', { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
  expect(errorFrom(JSON.parse(JSON.stringify(errorMessage(error))))).toMatchObject({ ...error, message: 'full' })
  expect(errorFrom(errorMessage(new Error('odd')))).toMatchObject({ code: 'internal', status: 500 })
})
