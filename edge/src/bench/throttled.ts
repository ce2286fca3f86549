import { createHash } from 'node:crypto'
import { atMost, median } from '@millrace/common/testing/bench'
import { runClient } from './client.js'
import { contentOf, LONG_SEGMENT, unseen } from './objects.js'
import type { Bench, PartResult } from './part.js'
import { startEdgeServer, startPeers, withServers } from './servers.js'

const AFTER_MS = 1000

/** How many unseen objects the throttled origin must have. */
export function throttledCount(quick: boolean): number {
  return quick ? 1 : 5
}

/** A slow origin: does who comes second wait for the end of a fill, or read along? */
export async function measureThrottled(bench: Bench): Promise<PartResult> {
  const origin = bench.origin
  const expected = createHash('sha256').update(contentOf(LONG_SEGMENT)).digest('hex')
  const edge = await startEdgeServer(bench, 'edge', origin.slowPort, {})
  const times = new Map<string, number[]>()
  await withServers([...(await startPeers(bench)), { ...edge, slowPort: edge.port }], async (servers) => {
    for (const { name, slowPort, target } of servers) {
      for (let index = 0; index < throttledCount(bench.quick); index++) {
        const path = target(unseen('throttled', index).path)
        const seen = await runClient(bench.cores.client, { job: 'latecomer', port: slowPort!, target: path, afterMs: AFTER_MS })
        if (seen.sha256.some((digest) => digest !== expected)) throw new Error(`${name} gave wrong bytes of ${path}`)
        if (!seen.whileFilling) throw new Error(`${name} had the whole object before the second client came`)
        times.set(name, [...(times.get(name) ?? []), seen.firstByteMs])
        bench.say(`throttled origin: ${name}, second client's first byte after ${seen.firstByteMs.toFixed(1)} ms`)
      }
    }
  })
  const rows = [...times].map(([name, values]) => [name, median(values).toFixed(1), Math.max(...values).toFixed(1)])
  return {
    bars: [atMost('origin at 1 MB/s, ms to the first byte of a client that comes 1 s later', Math.max(...(times.get('edge') ?? [])), 50)],
    tables: [{ title: 'Origin at 1 MB/s: ms to the second client’s first byte', head: ['server', 'median', 'worst'], rows }],
    notes: [`Slow origin: a ${LONG_SEGMENT.name}, whose transfer takes about 4 s; the second client comes after 1 s.`],
    detail: { latecomerMs: Object.fromEntries(times) },
  }
}
