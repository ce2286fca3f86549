import { runChild } from '../child.js'
import { type MediaFacts, notMedia, readFacts } from './media-facts.js'

/**
 * Containers that hold media themselves. Not here: hls, dash, concat, image sequences, lavfi and every other "format" that would
 * make ffmpeg open a second file or URL.
 */
export const DEMUXERS = [
  'mov,mp4,m4a,3gp,3g2,mj2',
  'matroska,webm',
  ...[
    'mpegts',
    'mpeg',
    'mpegvideo',
    'avi',
    'flv',
    'live_flv',
    'ogg',
    'asf',
    'mxf',
    'gxf',
    'nut',
    'rm',
    'dv',
    'ivf',
    'wtv',
    'm4v',
    'h264',
    'hevc',
  ],
  ...['wav', 'w64', 'aiff', 'caf', 'mp3', 'aac', 'ac3', 'eac3', 'dts', 'flac', 'amr', 'tta', 'wv', 'ape', 'au'],
]
  .join(',')
  .split(',')

/** Input options that keep ffmpeg and ffprobe inside the one file they are given. */
export function inputGuard(format?: string): string[] {
  const guard = ['-protocol_whitelist', 'file', '-format_whitelist', DEMUXERS.join(',')]
  // Only this demuxer knows them; external data references may name any path.
  return format?.startsWith('mov,') ? [...guard, '-enable_drefs', '0', '-use_absolute_path', '0'] : guard
}

export function probeArgs(file: string): string[] {
  return [
    ...['-hide_banner', '-v', 'error', '-analyzeduration', '30000000', '-probesize', '100000000'],
    ...inputGuard(),
    ...['-show_format', '-show_streams', '-of', 'json', '-i', `file:${file}`],
  ]
}

export interface ProbeTool {
  probePath: string
  timeoutMs: number
}

/** @throws MillraceError `not-media` with ffprobe's last lines. */
export async function probe(tool: ProbeTool, cwd: string, file: string, signal: AbortSignal): Promise<MediaFacts> {
  const lines: string[] = []
  const timeout = AbortSignal.timeout(tool.timeoutMs)
  const result = await runChild(tool.probePath, probeArgs(file), {
    cwd,
    signal: AbortSignal.any([signal, timeout]),
    onLine: (line) => lines.push(line),
  }).catch((error: unknown) => {
    throw timeout.aborted && !signal.aborted ? notMedia(`the source could not be probed within ${tool.timeoutMs} ms`) : error
  })
  if (result.exitCode !== 0) throw notMedia('the source is not a media file that can be read', result.stderr)
  return readFacts(JSON.parse(lines.join('\n')))
}
