import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { segment, tempFolder } from './edge.js'
import { BODY_LENGTH, serveBytes, serveStatus, startOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'
import { viewerOfEach } from './viewers.js'

const PATH = segment(1)
const FIELDS = ['cmcd-request', 'cmcd-object', 'cmcd-session', 'cmcd-status']

/** What one player says with its nth request, in both modes (CTA-5004 §3.1 and §3.2). */
type Mode = 'query' | 'header'
interface Told {
  path: string
  headers: Record<string, string>
}

/** @param members of the dictionary; in header mode each field has a part of them */
function told(mode: Mode, members: readonly string[], path = PATH): Told {
  if (mode === 'query') return { path: `/o1${path}?CMCD=${encodeURIComponent(members.join(','))}`, headers: {} }
  const parts = FIELDS.map((name, index) => [name, members.filter((_, at) => at % FIELDS.length === index).join(',')] as const)
  return { path: `/o1${path}`, headers: Object.fromEntries(parts.filter(([, value]) => value !== '')) }
}

const members = (n: number) => [`bl=${n * 1000}`, `br=${n * 300}`, `sid="s${n}"`, 'ot=v', `mtp=${n * 500}`]

/** Sums and counts of what players told, of one type and rung: what their names say, to their value. */
function seriesOf(metrics: string, type: string, rung: string): Record<string, number> {
  const found: Record<string, number> = {}
  for (const line of metrics.split('\n')) {
    const [, name, labels, value] = /^millrace_edge_cmcd_([a-z_]+)\{(.*)\} (\S+)$/.exec(line) ?? []
    if (!name || name.endsWith('_bucket') || !labels!.includes(`type="${type}"`) || !labels!.includes(`rung="${rung}"`)) continue
    found[name] = Number(value)
  }
  return found
}

describe('CMCD', () => {
  const at = scene()
  const ask = ({ path, headers }: Told) => at.edge.get(path, headers)
  const invalid = async () => {
    const of = (value: string) => at.edge.count('cmcd_invalid_total', { name: 'flaw', value })
    return { payload: await of('payload'), value: await of('value'), skipped: await of('skipped') }
  }
  const nothingWentUpstream = () => {
    for (const path of [...at.o1.requests, ...at.o2.requests]) expect(path).not.toContain('?')
    for (const headers of [...at.o1.headers, ...at.o2.headers])
      expect(Object.keys(headers).filter((name) => name.startsWith('cmcd'))).toEqual([])
  }

  it.each<[string, string, object]>([
    ['is no percent-encoding', 'CMCD=%zz', { payload: 1 }],
    ['is no dictionary', 'CMCD=br%3D%22', { payload: 1 }],
    ['is there twice', 'CMCD=br%3D1&CMCD=br%3D2', { payload: 1 }],
    ['is longer than any player makes it', `CMCD=sid%3D%22${'x'.repeat(2100)}%22`, { payload: 1 }],
    ['has values of no sense', 'CMCD=bl%3D-5%2Cot%3Dzebra%2Csu%3D7', { value: 3 }],
  ])('that %s is counted as invalid, and the request is answered all the same', async (_what, query, flaws) => {
    for (const phase of ['miss', 'hit']) {
      const { status, headers, body } = await at.edge.get(`/o1${PATH}?${query}`)
      expect([status, headers['x-cache'], body.length]).toEqual([200, phase, BODY_LENGTH])
      await at.edge.idle()
    }
    const twice = Object.fromEntries(Object.entries(flaws).map(([flaw, count]) => [flaw, 2 * count]))
    expect(await invalid()).toEqual({ payload: 0, value: 0, skipped: 0, ...twice })
  })

  it('that is malformed in a header is counted as invalid, and the request is answered all the same', async () => {
    for (const value of ['br=', '"', 'bl=1,,mtp=2', 'x'.repeat(2100)]) {
      expect((await at.edge.get(`/o1${PATH}`, { 'cmcd-request': value })).status).toBe(200)
    }
    expect(await invalid()).toEqual({ payload: 4, value: 0, skipped: 0 })
  })

  describe.each<Mode>(['query', 'header'])('in the %s', (mode) => {
    it('is never part of the key, nor sent upstream', async () => {
      const phases = []
      for (const n of [1, 2, 3, 4]) {
        phases.push((await ask(told(mode, members(n)))).headers['x-cache'])
        await at.edge.idle()
      }
      expect([phases, at.o1.requests]).toEqual([['miss', 'hit', 'hit', 'hit'], [PATH]])
      nothingWentUpstream()
    })

    it('is one key for requests at once', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(told(mode, members(n + 1)))))
      expect(answers.every(({ status }) => status === 200)).toBe(true)
      expect(at.o1.requests).toEqual([PATH])
    })

    it('is not sent upstream with what passes by the cache', async () => {
      at.o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'no-store' }))
      for (const n of [1, 2]) expect((await ask(told(mode, members(n)))).headers['x-cache']).toBe('bypass')
      const { path, headers } = told(mode, members(3))
      expect((await at.edge.get(path, { ...headers, range: 'bytes=0-9' })).headers['x-cache']).toBe('bypass')
      expect(new Set(at.o1.requests)).toEqual(new Set([PATH]))
      nothingWentUpstream()
    })

    it('is not sent upstream with a revalidation', async () => {
      at.o1.behave(serveResource({ body: Buffer.alloc(1000), headers: { etag: '"1"', 'cache-control': 'max-age=60' } }))
      await ask(told(mode, members(1)))
      await at.edge.idle()
      at.forward(61_000)
      expect((await ask(told(mode, members(2)))).headers['x-cache']).toBe('revalidated')
      expect(at.o1.requests).toEqual([PATH, PATH])
      nothingWentUpstream()
    })

    it('is not sent upstream when another origin is asked', async () => {
      at.o1.behave(serveStatus(500))
      expect((await ask(told(mode, members(1)))).headers['x-origin']).toBe('o2')
      nothingWentUpstream()
    })

    it('is exported by type and rung, from the fill, from disk and from RAM', async () => {
      const said = told(mode, ['bl=21300', 'br=3200', 'dl=4500', 'mtp=25400', 'ot=v', 'sf=h', 'bs', 'su', 'sid="a"'])
      const tier = async (value: string) => at.edge.count('answers_total', { name: 'tier', value })
      let asked = 0
      await until('an answer of each tier', async () => {
        expect((await ask(said)).status).toBe(200)
        asked++
        await at.edge.idle()
        const { text } = await at.edge.admin('/metrics')
        const series = seriesOf(text, 'video', '5M')
        expect(series).toEqual({
          requests_total: asked,
          starvations_total: asked,
          startups_total: asked,
          buffer_seconds_count: asked,
          buffer_seconds_sum: expect.closeTo(asked * 21.3),
          deadline_seconds_count: asked,
          deadline_seconds_sum: expect.closeTo(asked * 4.5),
          throughput_bits_per_second_count: asked,
          throughput_bits_per_second_sum: expect.closeTo(asked * 25_400_000),
        })
        return (await tier('fill')) > 0 && (await tier('disk')) > 0 && (await tier('ram')) > 0
      })
      expect(await at.edge.count('cmcd_requests_total', { name: 'format', value: 'hls' })).toBe(asked)
      expect(await at.edge.count('cmcd_requests_total')).toBe(asked)
    })

    it('is counted apart for other types and rungs, with no more than what was told', async () => {
      await ask(told(mode, ['br=96', 'ot=a', 'bl=4000']))
      await ask(told(mode, ['br=400', 'ot=v', 'bs']))
      await ask(told(mode, ['br=20000', 'ot=av', 'su']))
      await ask(told(mode, ['dl=1500']))
      const { text } = await at.edge.admin('/metrics')
      expect(seriesOf(text, 'audio', '0.5M')).toEqual({ requests_total: 1, buffer_seconds_count: 1, buffer_seconds_sum: 4 })
      expect(seriesOf(text, 'video', '0.5M')).toEqual({ requests_total: 1, starvations_total: 1 })
      expect(seriesOf(text, 'muxed', 'above')).toEqual({ requests_total: 1, startups_total: 1 })
      expect(seriesOf(text, 'unknown', 'unknown')).toEqual({ requests_total: 1, deadline_seconds_count: 1, deadline_seconds_sum: 1.5 })
    })
  })

  describe('of a sample', () => {
    beforeEach(() => at.o1.behave(serveBytes(1000)))
    const askMany = async (count: number) => {
      for (let n = 1; n <= count; n++) await ask(told(n % 2 ? 'query' : 'header', ['ot=v', 'br=3200', 'bl=1000']))
    }

    it.each<[string, object]>([
      ['sample is 0', { sample: 0 }],
      ['enabled is false', { enabled: false }],
    ])('is neither read nor counted where %s', async (_what, cmcd) => {
      await at.restart({ cmcd })
      await askMany(20)
      await at.edge.get(`/o1${PATH}?CMCD=%zz`)
      const { text } = await at.edge.admin('/metrics')
      expect(text).not.toMatch(/^millrace_edge_cmcd_.*type=/m)
      expect(await at.edge.count('cmcd_invalid_total')).toBe(0)
      nothingWentUpstream()
    })

    it('is all of it where sample is 1, about a half where it is 0.5', async () => {
      await at.restart({ cmcd: { sample: 1 } })
      await askMany(20)
      expect(await at.edge.count('cmcd_requests_total')).toBe(20)
      await at.restart({ cmcd: { sample: 0.5 } })
      await askMany(200)
      // Six standard deviations.
      const read = await at.edge.count('cmcd_requests_total')
      expect(Math.abs(read - 100)).toBeLessThan(43)
    })
  })
})

it('CMCD that two workers were told is one sum', async () => {
  const folder = await tempFolder()
  const o1 = await startOrigin(serveBytes(1000))
  const edge = await EdgeProcess.start(folder.path, [o1], { workers: 2 })
  const viewers = await viewerOfEach(edge.port, edge.roles().workers)
  try {
    for (const [index, viewer] of viewers.entries()) {
      const { path, headers } = told('header', [`bl=${(index + 1) * 1000}`, 'br=3200', 'ot=v', 'bs'])
      expect((await viewer.get(path, headers)).status).toBe(200)
    }
    const { text } = await edge.admin('/metrics')
    const expected = { requests_total: 2, starvations_total: 2, buffer_seconds_count: 2, buffer_seconds_sum: 3 }
    expect(seriesOf(text, 'video', '5M')).toEqual(expected)
    expect(o1.requests).toEqual([PATH])
  } finally {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await o1.stop()
    await folder.remove()
  }
})
