import { parseConfig } from '@millrace/common/config/load'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AccessLog, accessLogSchema, type LoggedExchange, redactPath } from './access-log.js'
import type { Decision } from './phase.js'

const mac = 'A'.repeat(43)

const EXCHANGE: LoggedExchange = {
  method: 'GET',
  path: `/o1~v1~1900000000~k1~${mac}/files/x`,
  status: 200,
  headAfterMs: 1.23456,
  bytesSent: 1000,
  aborted: false,
  broken: false,
}
const DECISION: Decision = { phase: 'miss', class: 'segment', tier: 'fill', origin: 'o1', cause: 'cold' }
const DETAILS = { requestId: 'p1234567-0', client: '203.0.113.7', ms: 20, session: 'a"b' }

function logged(exchange: LoggedExchange, decision = DECISION, details = DETAILS): string {
  const lines: string[] = []
  const log = new AccessLog({ write: (line) => lines.push(line) }, { sample: 1, always: [], random: () => 0, now: () => 1_700_000_000_000 })
  log.write(exchange, decision, details)
  expect(lines).toHaveLength(1)
  return lines[0]!
}

describe('redactPath', () => {
  it.each([
    [`/o1.o2~v1~1900000000~k1~${mac}/files/x`, '/o1.o2~signed/files/x'],
    [`/o1~v1~1900000000~k1~${mac}`, '/o1~signed'],
    [`//o1~v1~1900000000~k1~${mac}/files/x`, '//o1~signed/files/x'],
    [`/o1%7Ev1%7e1900000000%7Ek1%7E${mac}/files/x`, '/o1~signed/files/x'],
    ['/o1/files/x', '/o1/files/x'],
  ])('shows no mac of %s', (path, shown) => {
    expect(redactPath(path)).toBe(shown)
  })

  it('shows the beginning of a long path', () => {
    expect(redactPath(`/${'a'.repeat(9000)}`)).toHaveLength(512)
  })
})

describe('AccessLog', () => {
  it('writes one parsable line without a mac, whatever a client sends', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (path, method) => {
        const line = logged({ ...EXCHANGE, path: `${EXCHANGE.path}/${path}`, method })
        expect(line.slice(0, -1)).not.toMatch(/[\r\n]/)
        expect(line).not.toContain(mac)
        expect(JSON.parse(line)).toMatchObject({ status: 200 })
      }),
    )
  })

  it('keeps a flood of refusals from becoming a flood of lines', () => {
    let now = 1_700_000_000_000
    const log = new AccessLog({ write: () => {} }, { sample: 0, always: ['refused'], random: () => 0, now: () => now })
    const wanted = () => Array.from({ length: 5000 }, () => log.always('refused')).filter(Boolean).length
    expect(wanted()).toBe(1000)
    expect(log.suppressed).toBe(4000)
    now += 1000
    expect(wanted()).toBe(1000)
    // A clock that was set back silences nothing.
    now -= 3_600_000
    expect(wanted()).toBe(1000)
  })

  it('says what was asked, how it was answered, from where, and how long it took', () => {
    expect(JSON.parse(logged(EXCHANGE))).toEqual({
      time: '2023-11-14T22:13:20.000Z',
      msg: 'request',
      request: 'p1234567-0',
      method: 'GET',
      path: '/o1~signed/files/x',
      status: 200,
      phase: 'miss',
      class: 'segment',
      tier: 'fill',
      origin: 'o1',
      cause: 'cold',
      bytes: 1000,
      headMs: 1.235,
      ms: 20,
      client: '203.0.113.7',
      session: 'a"b',
    })
    expect(JSON.parse(logged({ ...EXCHANGE, aborted: true, broken: true, headAfterMs: -1 }))).toMatchObject({
      aborted: true,
      broken: true,
    })
  })

  it('wants its sample, and every request of some phases', () => {
    let next = 0
    const log = new AccessLog({ write: () => {} }, { sample: 0.25, always: ['error'], random: () => (next++ % 8) / 8, now: Date.now })
    expect(Array.from({ length: 8 }, () => log.sampled()).filter(Boolean)).toHaveLength(2)
    expect(Array.from({ length: 8 }, () => log.always('error')).filter(Boolean)).toHaveLength(8)
    const none = new AccessLog({ write: () => {} }, { sample: 0, always: [], random: () => 0, now: Date.now })
    expect(none.always('error')).toBe(false)
  })
})

describe('log.access', () => {
  it.each([
    ['a phase that is none', { always: ['slow'] }, /always\.0/],
    ['more than every request', { sample: 2 }, /sample/],
  ])('refuses %s and names it', (_what, raw, message) => {
    expect(() => parseConfig(accessLogSchema, raw)).toThrow(message)
  })

  it('takes one request in a hundred, and all that were refused or failed, where nothing is said', () => {
    expect(parseConfig(accessLogSchema, {})).toEqual({ sample: 0.01, always: ['error', 'refused'] })
  })
})
