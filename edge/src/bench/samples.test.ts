import { describe, expect, it } from 'vitest'
import { ratioOf, type Series, samplesTable } from './samples.js'
import type { ServerName } from './server.js'
import { parseReport, type Sample } from './wrk.js'

function series(server: ServerName, ...requestsPerSecond: number[]): Series {
  const sample = {
    bytesPerSecond: 2e9,
    p50Ms: 1,
    p99Ms: 2,
    serverBusy: 1,
    clientBusy: 0.5,
    cpuSecondsPerGB: 0.1,
    cpuSecondsPer1000Requests: 0.2,
  }
  const rounds = requestsPerSecond.map((rate): Sample => ({ ...sample, requestsPerSecond: rate }))
  return { server, object: 'segment', tls: false, rounds }
}
const of = { us: 'edge', peer: 'nginx', object: { name: 'segment' }, tls: false } as const

describe('ratios', () => {
  it('are none where a server, or that object over TLS, was not measured', () => {
    expect(ratioOf([series('edge', 100)], of)).toEqual([])
    expect(ratioOf([series('edge', 100), series('nginx', 50)], { ...of, tls: true })).toEqual([])
  })

  it('are of one round each, and only of rounds that both have run', () => {
    expect(ratioOf([series('edge', 100, 300, 500), series('nginx', 50, 100)], of)).toEqual([2, 3])
  })
})

it('the table shows medians', () => {
  expect(samplesTable([series('edge', 100, 900, 300)]).rows[0]).toEqual([
    'segment',
    'edge',
    '300',
    '2.00',
    '1.00',
    '2.00',
    '0.100',
    '0.2000',
    '100',
    '50',
  ])
})

it("a run of wrk without its report is an error that shows wrk's output", () => {
  expect(() => parseReport('unable to connect')).toThrow(/unable to connect/)
})
