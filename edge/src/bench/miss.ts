import { atMost, median, quantile } from '@millrace/common/testing/bench'
import { runClient } from './client.js'
import { SMALL_SEGMENT, unseen } from './objects.js'
import type { Bench, PartResult } from './part.js'
import type { Server } from './server.js'
import { startEdgeServer, startPeers, withServers } from './servers.js'

const BATCH = 50

/** How many unseen objects the origin must have. */
export function missCount(quick: boolean): number {
  return quick ? 100 : 600
}

/** Objects that no server has seen, one after the other on one connection, in batches that take turns. */
export async function measureMisses(bench: Bench): Promise<PartResult> {
  const origin = bench.origin
  const edge = await startEdgeServer(bench, 'edge', origin.port, {})
  const times = new Map<string, number[]>()
  await withServers<Server, void>([...(await startPeers(bench)), edge], async (servers) => {
    for (let batch = 0; batch * BATCH < missCount(bench.quick); batch++) {
      for (const server of servers) {
        const objects = Array.from({ length: BATCH }, (_, index) => unseen('miss', batch * BATCH + index))
        const targets = objects.map((object) => server.target(object.path))
        const seen = await runClient(bench.cores.client, { job: 'one-by-one', port: server.port, targets })
        const [status, ...others] = Object.keys(seen.statuses)
        if (!/^200 miss$/.test(status ?? '') || others.length > 0) {
          throw new Error(`${server.name} did not miss each time: ${JSON.stringify(seen.statuses)}`)
        }
        times.set(server.name, [...(times.get(server.name) ?? []), ...seen.firstByteMs])
      }
      bench.say(`misses: ${(batch + 1) * BATCH} of ${missCount(bench.quick)}`)
    }
  })
  const p50 = (name: string) => median(times.get(name) ?? [])
  const bar = atMost('miss, time to first body byte p50: edge / nginx', p50('edge') / p50('nginx'), 1.3, 1)
  const rows = [...times].map(([name, values]) => [name, ...[0.5, 0.9, 0.99].map((share) => quantile(values, share).toFixed(3))])
  return {
    bars: [bar],
    tables: [{ title: `Misses of ${SMALL_SEGMENT.name}s: ms to the first body byte`, head: ['server', 'p50', 'p90', 'p99'], rows }],
    notes: [`Misses: ${missCount(bench.quick)} each, one at a time, in batches of ${BATCH} in turn.`],
    detail: {
      missMs: Object.fromEntries([...times].map(([name, values]) => [name, { p50: median(values), p99: quantile(values, 0.99) }])),
    },
  }
}
