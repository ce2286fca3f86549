import { describe, expect, it } from 'vitest'
import { sumOf } from '../src/harness/metrics-text.js'
import { segment } from './edge.js'
import { BODY_LENGTH } from './origin.js'
import { twoWorkers } from './two-workers.js'

describe('the one /metrics of an edge of two workers', () => {
  const at = twoWorkers()
  const page = async () => {
    const { status, text } = await at.edge.admin('/metrics')
    expect(status).toBe(200)
    return text
  }

  it('has each metric once, what the workers counted in sum and what the keeper has as it is; what is of a process by its name', async () => {
    await at.start()
    const viewers = await at.viewers()
    const before = sumOf(await page(), 'millrace_edge_requests_total')
    for (const number of [1, 2, 3]) for (const viewer of viewers) await viewer.get(`/o1${segment(number)}`)
    await at.edge.idle()
    const text = await page()
    for (const kind of ['HELP', 'TYPE']) {
      const names = [...text.matchAll(new RegExp(`^# ${kind} (\\S+)`, 'gm'))].map((match) => match[1])
      expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
      expect(names.length).toBeGreaterThan(40)
    }
    const series = text.split('\n').flatMap((line) => (line === '' || line.startsWith('#') ? [] : [line.slice(0, line.lastIndexOf(' '))]))
    expect(series.filter((each, index) => series.indexOf(each) !== index)).toEqual([])
    expect(sumOf(text, 'millrace_edge_requests_total') - before).toBe(6)
    expect(sumOf(text, 'millrace_edge_sent_bytes_total')).toBeGreaterThanOrEqual(6 * BODY_LENGTH)
    expect(sumOf(text, 'millrace_edge_cache_objects')).toBe(3)
    expect(sumOf(text, 'millrace_edge_cache_max_bytes')).toBe(64 << 20)
    expect(sumOf(text, 'millrace_edge_cache_disk_in')).toBe(1)
    // Of the keeper, which probes, and of nobody else.
    expect(sumOf(text, 'millrace_edge_origin_up')).toBe(2)
    expect(sumOf(text, 'millrace_edge_ram_max_bytes')).toBe(256 << 20)
    for (const name of ['supervisor', 'keeper', 'worker-1', 'worker-2']) {
      expect(text).toMatch(new RegExp(`^nodejs_eventloop_lag_p99_seconds\\{.*process="${name}"`, 'm'))
      expect(text).toMatch(new RegExp(`^process_resident_memory_bytes\\{.*process="${name}"`, 'm'))
    }
  })
})
