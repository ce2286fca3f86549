import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bar } from '@millrace/common/testing/bench'
import { until } from '@millrace/common/testing/until'
import { sumOf } from '../harness/metrics-text.js'
import { bytesOf } from '../harness/told-bytes.js'
import { runClient } from './client.js'
import { type CountingOrigin, startCountingOrigin } from './counting-origin.js'
import { SMALL_SEGMENT } from './objects.js'
import type { Bench, PartResult } from './part.js'
import { type EdgeServer, startEdgeServer, withServers } from './servers.js'

const CLIENTS = 1000
const WORKERS = 2
/** Longer than a herd takes: a request that comes when the first answer has expired again is no fault of the edge. */
const MAX_AGE_S = 4

/** A thousand clients ask for one object in the same moment: when it isn't there, and when it has just expired. */
export async function measureHerd(bench: Bench): Promise<PartResult> {
  const origin = await startCountingOrigin({
    bytes: SMALL_SEGMENT.bytes,
    answerAfterMs: 500,
    cacheControl: `max-age=${MAX_AGE_S}`,
  })
  const edge = await startEdgeServer(bench, 'edge', origin.port, { workers: WORKERS })
  return withServers<{ stop: () => Promise<unknown> }, PartResult>([origin, edge], async () => {
    const cold = await stampede(bench, edge, origin)
    // The entry's own second, and one for clocks that count whole seconds.
    await delay((MAX_AGE_S + 1) * 1000)
    const expired = await stampede(bench, edge, origin)
    return {
      bars: [
        exactlyOne(`${CLIENTS} concurrent misses of one key, ${WORKERS} workers: origin requests`, cold),
        exactlyOne(`${CLIENTS} concurrent requests of an expired key, ${WORKERS} workers: origin requests`, expired),
      ],
      tables: [],
      notes: [`The expired key was ${origin.notModified > 0 ? 'revalidated (304)' : 'fetched again'}.`],
      detail: { herd: { cold, expired, notModified: origin.notModified } },
    }
  })
}

interface Stampede {
  originRequests: number
  statuses: Record<string, number>
  wholeMs: number
}

async function stampede(bench: Bench, edge: EdgeServer, origin: CountingOrigin): Promise<Stampede> {
  const before = origin.requests
  const target = edge.target(SMALL_SEGMENT.path)
  const seen = await runClient(bench.cores.client, { job: 'at-once', port: edge.port, target, clients: CLIENTS })
  if (Object.keys(seen.failures).length > 0) throw new Error(`transfers failed: ${JSON.stringify(seen.failures)}`)
  const expected = createHash('sha256').update(bytesOf(SMALL_SEGMENT.path, SMALL_SEGMENT.bytes)).digest('hex')
  if (seen.sha256.length !== 1 || seen.sha256[0] !== expected) throw new Error(`wrong bytes, or none: ${JSON.stringify(seen.statuses)}`)
  const wrong = Object.keys(seen.statuses).filter((status) => !status.startsWith('200 '))
  if (wrong.length > 0) throw new Error(`not everybody was served: ${JSON.stringify(seen.statuses)}`)
  await quiet(edge)
  const originRequests = origin.requests - before
  bench.say(`herd: ${originRequests} origin requests, ${JSON.stringify(seen.statuses)}`)
  return { originRequests, statuses: seen.statuses, wholeMs: seen.wholeMs }
}

/** By the edge's own count no fill runs any more: whatever the herd has caused at the origin is counted. */
async function quiet({ edge }: EdgeServer): Promise<void> {
  await until('no running fill', async () => sumOf(await edge.admin('/metrics'), 'millrace_edge_running_fills') === 0)
}

function exactlyOne(name: string, { originRequests }: Stampede): Bar {
  return { name, value: originRequests, bound: '==1', ok: originRequests === 1 }
}
