import fc from 'fast-check'
import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { CmcdCounters, cmcdMetrics } from './metrics.js'
import { CmcdReader } from './reader.js'
import { OBJECT_TYPES, RUNG_LABELS, rungOf, STREAMING_FORMATS } from './vocabulary.js'

function reading(options: { sample?: number; next?: boolean; random?: () => number; now?: () => number } = {}) {
  const registry = new Registry()
  const reader = new CmcdReader({
    sample: 1,
    next: false,
    random: () => 0,
    now: () => 0,
    counters: new CmcdCounters(cmcdMetrics(registry)),
    ...options,
  })
  const value = async (line: string) => {
    const found = (await registry.metrics()).split('\n').find((one) => one.startsWith(`${line} `))
    return found === undefined ? undefined : Number(found.slice(line.length + 1))
  }
  return { reader, registry, value }
}

const query = (payload: string) => `CMCD=${encodeURIComponent(payload)}`

describe('CmcdReader', () => {
  it.each([
    ['a payload that is malformed', query('bl=,'), 'payload'],
    ['a payload that is too long', query('a'.repeat(65_536)), 'payload'],
    ['two payloads', `${query('bl=1')}&${query('bl=2')}`, 'payload'],
  ])('counts %s and reads nothing', async (_what, text, flaw) => {
    const { reader, value } = reading()
    expect(reader.read(text)).toBeUndefined()
    expect(await value(`millrace_edge_cmcd_invalid_total{flaw="${flaw}"}`)).toBe(1)
  })

  it.each([
    'bl=-1',
    'bl=3600001',
    'bl=NaN',
    'bl="5"',
    'bl',
    'bl=999999999999999',
    'ot=x',
    'ot="constructor"',
    'sf=9',
    'su=1',
    'bs="yes"',
    'sid=""',
    'sid=7',
    `sid="${'x'.repeat(65)}"`,
    `nor="${'x'.repeat(1025)}"`,
    'mtp=()',
  ])('leaves out %s, counts it and reads the rest', async (member) => {
    const { reader, value } = reading()
    const cmcd = reader.read(query(`${member},br=800`))
    expect(cmcd).toEqual({ startup: false, starved: false, bitrateKbps: 800 })
    expect(await value('millrace_edge_cmcd_invalid_total{flaw="value"}')).toBe(member === 'mtp=()' ? 0 : 1)
  })

  it('reads the next object of every request where that is wanted, and counts those of the sample alone', async () => {
    const { reader, registry, value } = reading({ sample: 0.1, next: true, random: () => 0.5 })
    expect(reader.read(query('bl=100,nor="a.m4s"'))).toMatchObject({ next: 'a.m4s' })
    for (const text of ['bl=100', 'bl=,', 'bl=-1,nor=7']) reader.read(query(text))
    for (const flaw of ['payload', 'value', 'skipped']) expect(await value(`millrace_edge_cmcd_invalid_total{flaw="${flaw}"}`)).toBe(0)
    expect(await registry.metrics()).not.toMatch(/^millrace_edge_cmcd_requests_total\{.*\} [1-9]/m)
    expect(reading({ sample: 0.1, random: () => 0.5 }).reader.read(query('nor="a.m4s"'))).toBeUndefined()
  })

  it('spends no more on payloads that are slow to read than its budget', async () => {
    let now = 0
    const tick = () => {
      now += 2
      return now
    }
    const { reader, value } = reading({ now: tick })
    for (let count = 0; count < 100; count++) reader.read(query('bl=(1;v 2;a),v=2'))
    // 2 ms each: a burst of 20 ms, and 20 ms of each second.
    expect(await value('millrace_edge_cmcd_invalid_total{flaw="skipped"}')).toBeGreaterThan(80)
    now += 1000
    expect(reader.read(query('bl=(1;v 2;a),v=2'))).toMatchObject({ bufferMs: 1 })
    expect(reader.read(query('bl=7'))).toMatchObject({ bufferMs: 7 })
  })

  it('reads the sample alone', () => {
    let next = 0
    const { reader } = reading({ sample: 0.25, random: () => (next++ % 4) / 4 })
    expect(Array.from({ length: 8 }, () => reader.read('CMCD=su')).filter((cmcd) => cmcd !== undefined)).toHaveLength(2)
  })

  it('reads nothing of a request without any', async () => {
    const { reader, registry } = reading()
    expect(reader.read('')).toBeUndefined()
    expect(reader.read('a=b', [undefined, undefined, undefined, undefined])).toBeUndefined()
    expect(await registry.metrics()).not.toContain('cmcd_requests_total{')
  })

  it('reads a query, and headers alike', () => {
    const expected = {
      startup: true,
      starved: true,
      bufferMs: 1500,
      bitrateKbps: 3200,
      objectType: 'video',
      format: 'hls',
      session: 's-1',
      next: 'x.m4s',
    }
    const { reader } = reading()
    expect(reader.read(query('bl=1500,br=3200,bs,nor="x.m4s",ot=v,sf=h,sid="s-1",su'))).toEqual(expected)
    expect(reader.read('', ['bl=1500,nor="x.m4s",su', 'br=3200,ot=v', 'sf=h,sid="s-1"', 'bs'])).toEqual(expected)
  })

  it('counts by object type and rung, in base units', async () => {
    const { reader, value } = reading()
    reader.read(query('bl=1500,br=3200,bs,dl=400,mtp=25400,ot=v,sf=d,su'))
    reader.read(query('bl=100,ot=a,br=128'))
    const labels = 'type="video",rung="5M"'
    expect(await value(`millrace_edge_cmcd_requests_total{${labels},format="dash"}`)).toBe(1)
    expect(await value(`millrace_edge_cmcd_requests_total{type="audio",rung="0.5M",format="unknown"}`)).toBe(1)
    expect(await value(`millrace_edge_cmcd_starvations_total{${labels}}`)).toBe(1)
    expect(await value(`millrace_edge_cmcd_startups_total{${labels}}`)).toBe(1)
    expect(await value(`millrace_edge_cmcd_buffer_seconds_sum{${labels}}`)).toBe(1.5)
    expect(await value(`millrace_edge_cmcd_deadline_seconds_sum{${labels}}`)).toBe(0.4)
    expect(await value(`millrace_edge_cmcd_throughput_bits_per_second_sum{${labels}}`)).toBe(25_400_000)
  })

  it('makes no label of what a client writes', async () => {
    const { reader, registry } = reading()
    const key = fc.constantFrom('bl', 'br', 'bs', 'dl', 'mtp', 'nor', 'ot', 'sf', 'sid', 'su', 'evil')
    const value = fc.oneof(
      fc.constantFrom('', '=v', '=a', '=1', '=99999999', '=d', '=evil', '="evil"', '=?0', '=constructor', '=toString'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value).map((parts) => parts.join(''))), (members) => {
        reader.read(query(members.join(',')))
      }),
      { numRuns: 500 },
    )
    const allowed = new Set<string>([
      ...Object.values(OBJECT_TYPES),
      ...RUNG_LABELS,
      ...Object.values(STREAMING_FORMATS),
      'unknown',
      'payload',
      'value',
      'skipped',
    ])
    for (const metric of await registry.getMetricsAsJSON()) {
      for (const { labels } of metric.values as { labels: Record<string, string> }[]) {
        for (const [name, label] of Object.entries(labels)) if (name !== 'le') expect(allowed).toContain(label)
      }
    }
  })
})

it.each([
  [undefined, 'unknown'],
  [0, '0.5M'],
  [500, '0.5M'],
  [501, '1M'],
  [16_000, '16M'],
  [16_001, 'above'],
] as const)('counts %s kbit/s as %s', (kbps, rung) => {
  expect(rungOf(kbps)).toBe(rung)
})
