import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { EdgeProcess, edgePaths } from '../harness/edge-process.js'
import { randomFrom } from '../harness/random.js'
import { fsck, sweep } from './aftermath.js'
import { bodyOf, catalogOf } from './catalog.js'
import { type DiskUse, diskUse } from './disk.js'
import { breakEachOnce, breakThings, type Fault } from './faults.js'
import { Lives } from './growth.js'
import type { Options } from './options.js'
import { OriginProcess } from './origin-process.js'
import { rolesOf } from './roles.js'
import { Tally } from './tally.js'
import { Troubles } from './trouble.js'
import { type ViewerDependencies, view } from './viewer.js'

/** The objects take about ten times as much. */
export const BUDGET = 16 << 20
const WORKERS = 2
const SUMMARY_MS = 10_000

export interface SoakResult {
  tally: Tally
  faults: Record<Fault, number>
  lives: Lives
  /** Differences that only the sweep at the end has seen. */
  sweepDifferences: number
  /** The most that was seen while it ran. */
  peakDisk: number
  /** After the edge has ended. */
  disk: DiskUse
  /** What `fsck` says; null where this edge has none. */
  damage: string | undefined
  /** How the edge ended when it was told to. */
  end: { code: number | null; signal: NodeJS.Signals | null }
  seconds: number
}

export async function soak(options: Options, folder: string, say: (line: string) => void): Promise<SoakResult> {
  const random = randomFrom(options.seed)
  const origins = [await OriginProcess.start({ folder, seed: options.seed }), await OriginProcess.start({ folder, seed: options.seed })]
  const named = origins.map(({ port }, index) => ({ id: `o${index + 1}`, url: `http://127.0.0.1:${port}` }))
  const settings = { cacheSize: `${BUDGET >> 20}MiB`, maxObject: '4MiB', ram: { size: '4MiB' }, workers: WORKERS, drainTimeout: '10s' }
  const edge = await EdgeProcess.start({ ...settings, folder, origins: named })
  const objects = catalogOf(options.seed)
  const troubles = new Troubles(() => performance.now())
  const tally = new Tally()
  const target = edgePaths(named.map(({ id }) => id))
  const bodies = new Map(objects.map((object) => [object.path, bodyOf(object)]))
  const dependencies: ViewerDependencies = { objects, bodies, target, port: edge.port, tally, troubles, random }
  const lives = new Lives()
  const stopAll = new AbortController()
  const began = performance.now()
  const watching = watchProcesses(edge, lives, stopAll.signal, () => summary(tally, began), say)
  const viewers = Promise.all(Array.from({ length: options.clients }, () => view(dependencies, stopAll.signal)))
  const faultsMs = options.minutes * 40_000
  const calmMs = options.minutes * 20_000
  try {
    const breaking = { edge, origins, troubles, random, say }
    const faults = await (options.eachOnce ? breakEachOnce(breaking) : breakThings(breaking, AbortSignal.timeout(faultsMs)))
    say('no more faults: the rest of the run shows whether anything grows')
    await delay(calmMs)
    stopAll.abort()
    await viewers
    const peakDisk = await watching
    say(`sweep of ${objects.length} objects`)
    const before = tally.differences
    await sweep(dependencies)
    const sweepDifferences = tally.differences - before
    const seconds = (performance.now() - began) / 1000
    const end = await edge.stop()
    const damage = await fsck(edge)
    return { tally, faults, lives, sweepDifferences, peakDisk, disk: await diskUse(edge.cachePath), damage, end, seconds }
  } finally {
    stopAll.abort()
    await Promise.all([edge.stop(), ...origins.map((origin) => origin.stop())])
  }
}

/** @returns the most that the cache took on disk. */
async function watchProcesses(
  edge: EdgeProcess,
  lives: Lives,
  stop: AbortSignal,
  summarize: () => string,
  say: (line: string) => void,
): Promise<number> {
  let peak = 0
  let summaryAt = performance.now() + SUMMARY_MS
  while (!stop.aborted) {
    const roles = rolesOf(edge.pids())
    lives.sample(roles, performance.now())
    peak = Math.max(peak, (await diskUse(edge.cachePath)).bytes)
    if (performance.now() >= summaryAt) {
      summaryAt += SUMMARY_MS
      say(`${summarize()}, disk ${(peak / 2 ** 20).toFixed(1)} MiB at most`)
    }
    await delay(1000)
  }
  return peak
}

function summary(tally: Tally, began: number): string {
  const { requests, bytes, broken, refused, aborted, differences } = tally
  const share = (cache: string) => `${cache} ${Math.round(100 * tally.share(cache))} %`
  return [
    `${Math.round((performance.now() - began) / 1000)} s: ${requests} requests`,
    `${(bytes / 1e9).toFixed(2)} GB`,
    `${share('hit')}, ${share('coalesced')}`,
    `left ${aborted}, broken ${broken.inTrouble} + ${broken.otherwise}, 5xx ${refused.inTrouble} + ${refused.otherwise}`,
    `differences ${differences}`,
  ].join(', ')
}
