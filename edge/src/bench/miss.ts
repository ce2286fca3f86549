import { atMost, median, quantile } from '@millrace/common/testing/bench'
import { runClient } from './client.js'
import { SMALL_SEGMENT, unseen } from './objects.js'
import type { Bench, PartResult } from './part.js'
import type { Server } from './server.js'
import { startEdgeServer, startPeers, withServers } from './servers.js'

const BATCH = 200
/** Misses of each server before any is counted: a just-in-time compiler needs some thousands, and a server lives for weeks. */
const WARM_UP = 6000

const counted = (quick: boolean) => (quick ? 200 : 1200)

/** How many unseen objects the origin must have. */
export function missCount(quick: boolean): number {
  return WARM_UP + counted(quick)
}

/** Objects that no server has seen, one after the other on one connection, in batches that take turns. */
export async function measureMisses(bench: Bench): Promise<PartResult> {
  const origin = bench.origin
  const edge = await startEdgeServer(bench, 'edge', origin.port, {})
  const times = new Map<string, number[]>()
  const count = counted(bench.quick)
  await withServers<Server, void>([...(await startPeers(bench)), edge], async (servers) => {
    for (const server of servers) {
      await missBatch(bench, server, { from: 0, count: WARM_UP })
      bench.say(`misses: ${server.name} is warm after ${WARM_UP}`)
    }
    for (let done = 0; done < count; done += BATCH) {
      for (const server of servers) {
        const measured = await missBatch(bench, server, { from: WARM_UP + done, count: BATCH })
        times.set(server.name, [...(times.get(server.name) ?? []), ...measured])
      }
      bench.say(`misses: ${done + BATCH} of ${count}`)
    }
  })
  const p50 = (name: string) => median(times.get(name) ?? [])
  const bar = atMost('miss, time to first body byte p50: edge / nginx', p50('edge') / p50('nginx'), 1.3, 1)
  const rows = [...times].map(([name, values]) => [name, ...[0.5, 0.9, 0.99].map((share) => quantile(values, share).toFixed(3))])
  return {
    bars: [bar],
    tables: [{ title: `Misses of ${SMALL_SEGMENT.name}s: ms to the first body byte`, head: ['server', 'p50', 'p90', 'p99'], rows }],
    notes: [`Misses: ${count} each, one at a time, in batches of ${BATCH} in turn, after ${WARM_UP} each that were not counted.`],
    detail: {
      missMs: Object.fromEntries([...times].map(([name, values]) => [name, { p50: median(values), p99: quantile(values, 0.99) }])),
    },
  }
}

/** @returns milliseconds to the first body byte of each. @throws when one of them was no miss. */
async function missBatch(bench: Bench, server: Server, { from, count }: { from: number; count: number }): Promise<number[]> {
  const targets = Array.from({ length: count }, (_, index) => server.target(unseen('miss', from + index).path))
  const seen = await runClient(bench.cores.client, { job: 'one-by-one', port: server.port, targets })
  const [status, ...others] = Object.keys(seen.statuses)
  if (!/^200 miss$/.test(status ?? '') || others.length > 0) {
    throw new Error(`${server.name} did not miss each time: ${JSON.stringify(seen.statuses)}`)
  }
  return seen.firstByteMs
}
