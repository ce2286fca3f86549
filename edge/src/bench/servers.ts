import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { type EdgeOptions, EdgeProcess, edgePaths } from '../harness/edge-process.js'
import { type CacheOptions, startNginxCache } from './nginx.js'
import type { Bench } from './part.js'
import type { Server } from './server.js'
import { startVarnish } from './varnish.js'

export interface EdgeServer extends Server {
  edge: EdgeProcess
}

export type EdgeExtras = Partial<Pick<EdgeOptions, 'ram' | 'workers' | 'tls' | 'cacheSize' | 'maxObject' | 'drainTimeout'>>

/** This edge over one origin, signed routes demanded, on the server's core. */
export async function startEdgeServer(bench: Bench, name: 'edge' | 'edge (disk)', origin: number, extras: EdgeExtras): Promise<EdgeServer> {
  const folder = await mkdtemp(join(bench.folder, 'edge-'))
  const origins = [{ id: 'o1', url: `http://127.0.0.1:${origin}` }]
  const edge = await EdgeProcess.start({ cacheSize: '20GiB', ...extras, folder, origins, core: bench.cores.server })
  return {
    name,
    edge,
    port: edge.port,
    ...(extras.tls ? { tlsPort: edge.tlsPort } : {}),
    target: edgePaths(['o1']),
    pids: () => edge.pids(),
    stop: () => edge.stop(),
  }
}

/** The peers that are installed. */
export async function startPeers(bench: Bench, options: Pick<CacheOptions, 'tls'> = {}): Promise<Server[]> {
  const { origin } = bench
  const core = bench.cores.server
  const peers = [await startNginxCache({ ...options, folder: await mkdtemp(join(bench.folder, 'nginx-')), core, origin })]
  if (bench.varnish) peers.push(await startVarnish({ folder: await mkdtemp(join(bench.folder, 'varnish-')), core, origin }))
  return peers
}

/** Runs something with servers that end with it, whatever becomes of it. */
export async function withServers<S extends { stop: () => Promise<unknown> }, T>(
  started: readonly S[],
  work: (servers: readonly S[]) => Promise<T>,
): Promise<T> {
  try {
    return await work(started)
  } finally {
    await Promise.all(started.map((server) => server.stop()))
  }
}
