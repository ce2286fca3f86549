import { atLeast, type Bar, median, notJudged } from '@millrace/common/testing/bench'
import { RAM_OFF } from '../harness/edge-config.js'
import { type Negotiated, negotiate } from './certificate.js'
import { type BenchObject, OBJECTS, PLAYLIST, SEGMENT, SMALL_SEGMENT } from './objects.js'
import { type Bench, NO_VARNISH, type PartResult } from './part.js'
import { ratioOf, type Samples, samplesTable } from './samples.js'
import type { Server, ServerName } from './server.js'
import { startEdgeServer, startPeers, withServers } from './servers.js'
import { checkTier } from './tier.js'
import { warm } from './warm.js'
import { runWrk } from './wrk.js'

interface Case {
  server: Server
  object: BenchObject
  tls: boolean
}

/** Hits in the clear: from RAM, and from disk with the page cache warm. */
export async function measureHits(bench: Bench): Promise<PartResult> {
  const origin = bench.origin
  const edges = [
    await startEdgeServer(bench, 'edge (disk)', origin.port, { ram: RAM_OFF }),
    await startEdgeServer(bench, 'edge', origin.port, {}),
  ]
  const samples = await withServers([...(await startPeers(bench)), ...edges], async (servers) => {
    for (const server of servers) await warm(server, OBJECTS)
    const measured = await runRounds(
      bench,
      OBJECTS.flatMap((object) => servers.map((server) => ({ server, object, tls: false }))),
    )
    for (const server of edges) await checkTier(server.edge, server.name === 'edge' ? 'ram' : 'disk')
    return measured
  })
  const against = (us: ServerName, peer: ServerName, object: BenchObject, limit: number, goal: number) =>
    ratioBar(bench, samples, { us, peer, object, tls: false, limit, goal })
  return {
    bars: [
      against('edge', 'varnish', SEGMENT, 0.85, 1),
      against('edge', 'nginx', SEGMENT, 1.8, 2.3),
      against('edge (disk)', 'nginx', SEGMENT, 1.2, 1.6),
      against('edge', 'nginx', PLAYLIST, 1.15, 1.4),
      against('edge', 'varnish', PLAYLIST, 2, 2.5),
    ],
    tables: [{ title: 'Hits, plain', ...samplesTable(samples) }],
    notes: limits(samples),
    detail: { hits: samples },
  }
}

/** Hits over TLS. nginx is made to take the very protocol and cipher that the edge agrees on with the client. */
export async function measureTls(bench: Bench): Promise<PartResult> {
  const bars = (samples: Samples) => {
    const against = (object: BenchObject, limit: number, goal: number) =>
      ratioBar(bench, samples, { us: 'edge', peer: 'nginx', object, tls: true, limit, goal })
    return [against(SEGMENT, 0.8, 1), against(PLAYLIST, 1.15, 1.3)]
  }
  if (!bench.certificate) return { bars: bars([]), tables: [], notes: [], detail: {} }
  const origin = bench.origin
  const edge = await startEdgeServer(bench, 'edge', origin.port, { tls: bench.certificate })
  let agreed: Negotiated | undefined
  const samples = await withServers([edge], async () => {
    agreed = await negotiate(edge.tlsPort!)
    const peers = (await startPeers(
      { ...bench, varnish: false },
      {
        tls: { ...bench.certificate!, ...agreed },
      },
    )) as Server[]
    return withServers(peers, async () => {
      const servers: Server[] = [...peers, edge]
      for (const { name, tlsPort } of peers) {
        const theirs = await negotiate(tlsPort!)
        if (theirs.cipher !== agreed!.cipher) throw new Error(`${name} takes ${theirs.cipher}, the edge ${agreed!.cipher}`)
      }
      const objects = [SEGMENT, SMALL_SEGMENT, PLAYLIST]
      for (const server of servers) await warm(server, objects)
      return runRounds(
        bench,
        objects.flatMap((object) => servers.map((server) => ({ server, object, tls: true }))),
      )
    })
  })
  return {
    bars: bars(samples),
    tables: [{ title: 'Hits, TLS', ...samplesTable(samples) }],
    notes: [`TLS: ${agreed!.protocol}, ${agreed!.cipher}, P-256 certificate, at both servers.`, ...limits(samples)],
    detail: { tls: { ...agreed, samples } },
  }
}

/** Each case once per round, so that whatever else the machine does falls on all alike. */
async function runRounds(bench: Bench, cases: readonly Case[]): Promise<Samples> {
  const samples: Samples = cases.map(({ server, object, tls }) => ({ server: server.name, object: object.name, tls, rounds: [] }))
  for (let round = 1; round <= bench.rounds; round++) {
    for (const [index, { server, object, tls }] of cases.entries()) {
      const url = `${tls ? 'https' : 'http'}://127.0.0.1:${tls ? server.tlsPort : server.port}${server.target(object.path)}`
      const { folder, seconds, cores } = bench
      const sample = await runWrk({ folder, core: cores.client, seconds, server, url, bytes: object.bytes })
      samples[index]!.rounds.push(sample)
      const rate = `${Math.round(sample.requestsPerSecond)} req/s, ${(sample.bytesPerSecond / 1e9).toFixed(2)} GB/s`
      bench.say(`round ${round}/${bench.rounds}  ${server.name}, ${object.name}${tls ? ', TLS' : ''}: ${rate}`)
    }
  }
  return samples
}

function ratioBar(
  bench: Bench,
  samples: Samples,
  of: { us: ServerName; peer: ServerName; object: BenchObject; tls: boolean; limit: number; goal: number },
): Bar {
  const tier = of.us === 'edge (disk)' ? 'disk hit' : 'RAM hit'
  const name = `${of.tls ? 'TLS' : tier}, ${of.object.name}: edge / ${of.peer}`
  const ratios = ratioOf(samples, of)
  const measured = atLeast(name, median(ratios), of.limit, of.goal)
  if (ratios.length > 0) return measured
  const lacks = 'openssl is not installed'
  return { ...notJudged(measured, of.peer === 'varnish' && !bench.varnish ? NO_VARNISH : lacks), value: null }
}

/** Where a server wasn't kept busy, the client was the limit, and requests per second tell less than CPU time does. */
function limits(samples: Samples): string[] {
  return samples
    .filter(({ rounds }) => median(rounds.map((round) => round.serverBusy)) < 0.9)
    .map(({ server, object, tls, rounds }) => {
      const busy = (of: 'serverBusy' | 'clientBusy') => `${Math.round(100 * median(rounds.map((round) => round[of])))} %`
      const what = `${server}, ${object}${tls ? ', TLS' : ''}`
      return `${what}: the server used ${busy('serverBusy')} of its core, wrk ${busy('clientBusy')} of its own.`
    })
}
