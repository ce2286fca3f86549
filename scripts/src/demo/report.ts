import type { EdgeStatus } from '@millrace/common/contracts/edge-api'
import { table } from '@millrace/common/testing/table'
import type { Tally } from '../player/fetch.js'
import type { Stack } from '../stack/stack.js'
import type { Journey } from './journey.js'
import { formatBytes } from './progress.js'

type Say = (text: string) => void

export function printAddresses(say: Say, stack: Stack, journey: Journey): void {
  const { playback } = journey
  say(`  ready in ${journey.readySeconds.toFixed(1)} s\n`)
  say(`  web page   ${stack.cmsUrl}/?v=${playback.videoId}`)
  say(`  API docs   ${stack.cmsUrl}/docs`)
  say(`  steered    ${playback.steered.hls}`)
  say(`             ${playback.steered.dash}`)
  for (const edge of playback.edges) {
    say(`  edge ${edge.id}    ${edge.hls}`)
    say(`             ${edge.dash}`)
  }
}

export function printTables(say: Say, stages: Record<string, number>, journeys: Journey[], edges: EdgeStatus[]): void {
  const rows = Object.entries(stages).map(([name, seconds]) => ['', name, seconds.toFixed(2)])
  for (const journey of journeys) {
    for (const [name, seconds] of Object.entries(journey.stages)) rows.push([journey.video.title, name, seconds.toFixed(2)])
  }
  say(`\n${table(['video', 'stage', 'seconds'], rows)}`)
  const walks = journeys.flatMap((journey) => [
    [
      journey.video.title,
      'HLS',
      journey.hls.playlists,
      journey.hls.segments,
      formatBytes(journey.hls.bytes),
      journey.hls.phases.get('hit') ?? 0,
    ],
    [
      journey.video.title,
      'DASH',
      journey.dash.playlists,
      journey.dash.segments,
      formatBytes(journey.dash.bytes),
      journey.dash.phases.get('hit') ?? 0,
    ],
  ])
  say(`\n${table(['video', 'as', 'manifests', 'segments', 'bytes', 'hits'], walks)}`)
  const cache = edges.map((edge) => [edge.id, hits(edge), misses(edge), edge.cache.objects, formatBytes(edge.cache.bytes)])
  say(`\n${table(['edge', 'hits', 'misses', 'objects', 'cached'], cache)}\n`)
}

/** What `--json` prints; sums over all sources, each source under `videos`. Seconds and bytes. */
export function summary(stages: Record<string, number>, journeys: Journey[], edges: EdgeStatus[], origins: { id: string }[]) {
  const all: Record<string, number> = { ...stages }
  for (const journey of journeys) for (const [name, seconds] of Object.entries(journey.stages)) all[name] = (all[name] ?? 0) + seconds
  const sum = (pick: (journey: Journey) => Tally) => ({
    segments: journeys.reduce((total, journey) => total + pick(journey).segments, 0),
    bytes: journeys.reduce((total, journey) => total + pick(journey).bytes, 0),
  })
  return {
    ok: true,
    ready_s: Math.max(...journeys.map((journey) => journey.readySeconds)),
    stages: all,
    hls: sum((journey) => journey.hls),
    dash: sum((journey) => journey.dash),
    edges: edges.map((edge) => ({ id: edge.id, hits: hits(edge), misses: misses(edge) })),
    origins: origins.map(({ id }) => ({
      id,
      held: journeys.filter((journey) => journey.video.replicas.some((replica) => replica.originId === id && replica.state === 'held'))
        .length,
    })),
    videos: journeys.map((journey) => ({
      id: journey.video.id,
      title: journey.video.title,
      rev: journey.video.rev,
      ready_s: journey.readySeconds,
      duration_s: journey.playback.durationSeconds,
      renditions: journey.video.renditions.map((rendition) => rendition.name),
      warnings: journey.video.warnings,
    })),
  }
}

function hits(edge: EdgeStatus): number {
  return edge.requests.hit ?? 0
}

function misses(edge: EdgeStatus): number {
  return (edge.requests.miss ?? 0) + (edge.requests.coalesced ?? 0)
}
