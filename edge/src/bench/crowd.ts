import { atMost } from '@millrace/common/testing/bench'
import { runClient } from './client.js'
import { PLAYLIST } from './objects.js'
import type { Bench, PartResult } from './part.js'
import { startEdgeServer, withServers } from './servers.js'
import { warm } from './warm.js'

const PERIOD_MS = 8000
const BUSY = 50

/** Ten thousand players that ask once in a while, beside fifty that never stop. */
export async function measureCrowd(bench: Bench): Promise<PartResult> {
  const idle = bench.quick ? 2000 : 10_000
  const seconds = bench.quick ? 4 : 16
  const edge = await startEdgeServer(bench, 'edge', bench.origin.port, {})
  return withServers([edge], async () => {
    await warm(edge, [PLAYLIST])
    const job = { job: 'crowd', port: edge.port, target: edge.target(PLAYLIST.path), periodMs: PERIOD_MS, busy: BUSY, seconds } as const
    const alone = await runClient(bench.cores.client, { ...job, idle: 0 })
    bench.say(`crowd: ${BUSY} busy connections alone: p99 ${alone.p99Ms.toFixed(2)} ms`)
    const crowded = await runClient(bench.cores.client, { ...job, idle })
    bench.say(`crowd: beside ${idle} others: p99 ${crowded.p99Ms.toFixed(2)} ms, errors ${JSON.stringify(crowded.errors)}`)
    const errors = Object.values(crowded.errors).reduce((sum, count) => sum + count, 0)
    const row = (name: string, seen: typeof alone) => [
      name,
      seen.requests,
      seen.idleRequests,
      seen.reopened,
      seen.p50Ms.toFixed(2),
      seen.p99Ms.toFixed(2),
    ]
    return {
      bars: [atMost(`${idle} keep-alive connections, each asking once in 8 s, beside ${BUSY} busy ones: errors`, errors, 0)],
      tables: [
        {
          title: 'Playlist from a crowded edge',
          head: ['connections', 'requests of the busy ones', 'of the others', 'reopened', 'p50 ms', 'p99 ms'],
          rows: [row(`${BUSY} busy`, alone), row(`${BUSY} busy and ${idle} others`, crowded)],
        },
      ],
      notes: [
        'Crowd: uWebSockets.js closes an idle connection 8 to 12 s after its last request; a client that finds it closed opens another ("reopened").',
        'Crowd: the client is one Node.js process; its latencies hold its own share, the same in both rows.',
      ],
      detail: { crowd: { alone, crowded } },
    }
  })
}
