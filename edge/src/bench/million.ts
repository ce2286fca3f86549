import { rm } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { atLeast, atMost, type Bar, median, notJudged } from '@millrace/common/testing/bench'
import { until } from '@millrace/common/testing/until'
import { RAM_OFF } from '../harness/edge-config.js'
import type { EdgeProcess } from '../harness/edge-process.js'
import { sumOf } from '../harness/metrics-text.js'
import { cpuSeconds, residentBytes } from '../harness/proc.js'
import { HttpConnection } from './http-connection.js'
import type { Bench, PartResult } from './part.js'
import { PLANTED_BYTES, plant } from './plant.js'
import { type EdgeExtras, type EdgeServer, startEdgeServer, withServers } from './servers.js'
import { runWrk, type Sample } from './wrk.js'

const ASSETS = 1000
const FEW = 10_000
const WORKERS = 2
const FULL = 1_000_000

/**
 * A cache with a million objects: what its index takes in memory, how long a restart takes, and whether hits stay as quick as with ten
 * thousand. Hits are random over all objects and come from disk: with the RAM tier, ten thousand objects would never touch the disk and
 * the two could not be compared. Beside it, the same with the RAM tier as shipped.
 */
export async function measureMillion(bench: Bench): Promise<PartResult> {
  const objects = bench.objects
  const settings: EdgeExtras = { workers: WORKERS, ram: RAM_OFF, cacheSize: '64GiB', drainTimeout: '1s' }
  const server = await startEdgeServer(bench, 'edge (disk)', bench.origin.port, settings)
  return withServers([{ stop: () => server.stop().then(() => rm(server.edge.cachePath, { recursive: true, force: true })) }], async () => {
    const empty = await restingMemory(server)
    await server.edge.stop()
    const plantedIn = await seconds(() =>
      plant(server.edge.cachePath, paths(objects), (count) => bench.say(`stored objects: ${count} of ${objects}`)),
    )
    bench.say(`${objects} objects stored in ${plantedIn.toFixed(1)} s; first start, which has to find them`)
    const firstStart = await seconds(async () => {
      await server.edge.start()
      await indexed(server.edge, objects)
    })
    await server.edge.stop()
    const afterStop = await restart(server, objects)
    await server.edge.kill()
    const afterKill = await restart(server, objects)
    const full = await restingMemory(server)
    const memoryMB = (full - empty) / 1e6
    bench.say(
      `first hit ${afterStop.toFixed(2)} s after a restart, ${afterKill.toFixed(2)} s after kill -9; index ${memoryMB.toFixed(0)} MB`,
    )
    const hits = await compareHits(bench, server, objects)
    const ratio = median(hits.many.map((sample, round) => sample.requestsPerSecond / hits.few[round]!.requestsPerSecond))
    const judged = (bar: Bar) => judge(bar, objects)
    const name = `${objects} stored objects, ${WORKERS} workers`
    const rate = (samples: Sample[]) => Math.round(median(samples.map((sample) => sample.requestsPerSecond)))
    return {
      bars: [
        judged(atMost(`${name}: memory beyond that of the empty edge, MB`, memoryMB, 300)),
        judged(atMost(`${name}: seconds from restart to first hit`, afterStop, 5, 2)),
        judged(atLeast(`${name}: hits/s over all / hits/s over ${FEW}`, ratio, 0.85, 0.95)),
      ],
      tables: [
        {
          title: `${objects} stored objects of ${PLANTED_BYTES} bytes`,
          head: ['what', 'value'],
          rows: [
            ['memory of the empty edge, all processes, MB', (empty / 1e6).toFixed(0)],
            ['memory with all objects, MB', (full / 1e6).toFixed(0)],
            ['first start without an index, until every object is known, s', firstStart.toFixed(2)],
            ['restart to first hit, s', afterStop.toFixed(2)],
            ['start after kill -9 to first hit, s', afterKill.toFixed(2)],
            [`disk hits/s, random over ${FEW}`, rate(hits.few)],
            ['disk hits/s, random over all', rate(hits.many)],
          ],
        },
      ],
      notes: ['Many objects: memory is the sum of the resident sets of all processes of the edge, 2 s after the last work.'],
      detail: { million: { objects, empty, full, firstStart, afterStop, afterKill, hits } },
    }
  })
}

/** Data paths spread over a thousand assets, in an order in which any prefix is spread alike. */
export function* paths(count: number): Generator<string> {
  for (let index = 0; index < count; index++) yield pathOf(index % ASSETS, Math.floor(index / ASSETS) + 1)
}

function pathOf(asset: number, fragment: number): string {
  return `${folderOf(asset)}/fragment-${fragment}-f1-v1-x3.m4s`
}

function folderOf(asset: number): string {
  return `/dash/01hzy3v8k2m4n6p8q0r2s4${asset.toString().padStart(4, '0')}/r1`
}

/** @returns seconds from the start of the process to the first hit. */
async function restart(server: EdgeServer, objects: number): Promise<number> {
  const last = pathOf((objects - 1) % ASSETS, Math.floor((objects - 1) / ASSETS) + 1)
  const took = await seconds(async () => {
    await server.edge.launch()
    await until('a hit after a restart', () => isHit(server, last), 300_000)
  })
  await server.edge.ready()
  await indexed(server.edge, objects)
  return took
}

async function isHit(server: EdgeServer, path: string): Promise<boolean> {
  const connection = await HttpConnection.open(server.port)
  const answer = await connection.get(server.target(path))
  connection.close()
  return answer.status === 200 && answer.headers.get('x-cache') === 'hit'
}

async function indexed(edge: EdgeProcess, objects: number): Promise<void> {
  const known = async () => sumOf(await edge.admin('/metrics'), 'millrace_edge_cache_objects') >= objects
  await until(`${objects} objects in the index`, known, 600_000)
}

/** Resident bytes of all processes of the edge, when it has nothing to do any more. */
async function restingMemory(server: EdgeServer): Promise<number> {
  let before = Number.NEGATIVE_INFINITY
  await until(
    'an edge at rest',
    async () => {
      const now = cpuSeconds(server.pids())
      const rests = now - before < 0.1
      before = now
      if (!rests) await delay(2000)
      return rests
    },
    120_000,
  )
  return server.pids().reduce((sum, pid) => sum + (residentBytes(pid) ?? 0), 0)
}

async function compareHits(bench: Bench, server: EdgeServer, objects: number): Promise<{ few: Sample[]; many: Sample[] }> {
  const hits = { few: [] as Sample[], many: [] as Sample[] }
  const over = (count: number) => {
    const url = `http://127.0.0.1:${server.port}`
    const lua = randomRequests(server, Math.min(count, objects))
    const { folder, seconds: length, cores } = bench
    return runWrk({ folder, core: cores.client, seconds: length, server, url, lua, bytes: PLANTED_BYTES })
  }
  for (let round = 1; round <= bench.rounds; round++) {
    hits.few.push(await over(FEW))
    hits.many.push(await over(objects))
    const [few, many] = [hits.few.at(-1)!, hits.many.at(-1)!].map((sample) => Math.round(sample.requestsPerSecond))
    bench.say(`round ${round}/${bench.rounds}  random hits: ${few}/s over ${FEW}, ${many}/s over ${objects}`)
  }
  return hits
}

/** wrk asks for a random one of the first `count` paths each time. A miss would be a 404 of the origin, and wrk's error. */
function randomRequests(server: EdgeServer, count: number): string {
  const folders = Array.from({ length: ASSETS }, (_, asset) => `'${server.target(`${folderOf(asset)}/`)}fragment-'`)
  return `
local folders = { ${folders.join(', ')} }
function init() math.randomseed(os.time()) end
function request()
  return 'GET ' .. folders[math.random(${ASSETS})] .. math.random(${Math.floor(count / ASSETS)}) .. '-f1-v1-x3.m4s HTTP/1.1\\r\\nHost: bench\\r\\n\\r\\n'
end
`
}

function judge(bar: Bar, objects: number): Bar {
  return objects >= FULL ? bar : notJudged(bar, `a short run with ${objects} objects`)
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}
