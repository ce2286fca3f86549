import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type Asset, type AudioFile, type SequenceFile, sequencesOf, type VideoFile } from '@millrace/common/contracts/asset'
import { contentType, fragmentName, initName } from '@millrace/common/contracts/media-url'
import { buildFragment } from './fragment.js'
import { IndexCache } from './index-cache.js'
import { buildInit } from './init.js'
import { readMoov } from './moov.js'
import type { Built, Packager, SegmentPath } from './packager.js'
import { memoryOf, readSampleTable, type SampleTable } from './sample-table.js'
import { cutSegments, durationsOf, type SegmentStart } from './segmenter.js'

interface TrackIndex {
  table: SampleTable
  starts: SegmentStart[]
  /** In memory. */
  bytes: number
}

/** Part of every ETag: a writer that makes other bytes from the same file must raise it. */
const WRITER = 'embedded-1'
const SEGMENT_START_BYTES = 96

/**
 * The packager of this process: reads sample tables once, keeps up to `cacheBytes` (above 0) of them, and makes headers around ranges
 * of the mp4 files.
 */
export function createEmbeddedPackager(options: { cacheBytes: number }): Packager {
  const cache = new IndexCache<TrackIndex>(options.cacheBytes)
  const indexOf = (folder: string, asset: Asset, file: VideoFile | AudioFile) =>
    cache.get(folder, file.name, () => readIndex(join(folder, file.name), file.role, asset.segmentDuration))
  return {
    name: 'embedded',

    async segmentDurations(folder, asset) {
      const durations: number[][] = []
      for (const file of sequencesOf(asset))
        durations.push(file.role === 'text' ? [] : durationsOf((await indexOf(folder, asset, file)).starts))
      return durations
    },

    async build(folder, asset, path) {
      const file = sequencesOf(asset)[path.sequence - 1]
      if (!file || file.role === 'text' || (file.role === 'video') !== (path.media === 'v')) return undefined
      const { table, starts } = await indexOf(folder, asset, file)
      if (path.kind === 'init') return built(path, file, buildInit(table))
      const [start, end] = [starts[path.number - 1], starts[path.number]]
      if (!start || !end) return undefined
      const { head, ranges } = buildFragment(table, start, end, path.number - 1)
      return built(path, file, head, { path: join(folder, file.name), ranges })
    },

    forget: (folder) => cache.forget(folder),
  }
}

async function readIndex(path: string, media: 'video' | 'audio', segmentDuration: number): Promise<TrackIndex> {
  const { moov, fileBytes } = await readMoov(path)
  const table = readSampleTable(moov, media, fileBytes)
  const starts = cutSegments(table, Math.round(segmentDuration * 1000))
  return { table, starts, bytes: memoryOf(table) + starts.length * SEGMENT_START_BYTES }
}

function built(path: SegmentPath, source: SequenceFile, head: Buffer, file?: Built['file']): Built {
  const body = file?.ranges.reduce((sum, range) => sum + range.length, 0) ?? 0
  return { contentType: contentType(path), length: head.length + body, etag: etagOf(path, source), head, ...(file && { file }) }
}

/** From the verified hash of the source file: equal on every origin, other for other bytes. */
function etagOf(path: SegmentPath, source: SequenceFile): string {
  const name = path.kind === 'init' ? initName(path.sequence, path.media) : fragmentName(path.number, path.sequence, path.media)
  const digest = createHash('sha256').update(`${WRITER}\n${source.sha256}\n${name}`).digest('hex')
  return `"${digest.slice(0, 16)}"`
}
