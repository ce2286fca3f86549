import { bound } from '@millrace/common/process'

/** Decodes a media playlist with ffmpeg, as a judge from outside. @returns decoded seconds. @throws Error with ffmpeg's words on any complaint. */
export async function decode(playlistUrl: string): Promise<number> {
  const result = await bound(
    'ffmpeg',
    ['-nostdin', '-v', 'error', '-i', playlistUrl, '-map', '0', '-f', 'null', '-progress', 'pipe:1', '-'],
    {
      reject: false,
      timeout: 300_000,
      stdin: 'ignore',
    },
  )
  const complaint = result.stderr.trim()
  if (result.exitCode !== 0 || complaint)
    throw new Error(`ffmpeg could not decode ${playlistUrl}: ${complaint || `exit ${result.exitCode}`}`)
  const times = [...result.stdout.matchAll(/^out_time_us=(\d+)/gm)]
  const seconds = Number(times.at(-1)?.[1] ?? 0) / 1e6
  if (!(seconds > 0)) throw new Error(`ffmpeg decoded nothing of ${playlistUrl}`)
  return seconds
}
