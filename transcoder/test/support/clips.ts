import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** Makes tiny media files by ffmpeg. */
export interface Clips {
  folder: string
  /** @param args everything between the global options and the output's name. @returns the file's path. */
  make: (name: string, args: string) => Promise<string>
  remove: () => Promise<void>
}

export async function createClips(): Promise<Clips> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-clips-'))
  return {
    folder,
    make: async (name, args) => {
      const path = join(folder, name)
      await execa('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args.split(/\s+/).filter(Boolean), path], { cwd: folder })
      return path
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

export const picture = (size: string, rate: string, seconds: number) => `-f lavfi -i testsrc2=size=${size}:rate=${rate}:duration=${seconds}`
export const tone = (seconds: number, frequency = 440) => `-f lavfi -i sine=frequency=${frequency}:sample_rate=48000:duration=${seconds}`
export const FAST = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac'

/** ffprobe's JSON of a file's streams and format. */
export async function probeFile(path: string, ...args: string[]) {
  const { stdout } = await execa('ffprobe', ['-v', 'error', '-show_streams', '-show_format', ...args, '-of', 'json', path])
  return JSON.parse(stdout) as {
    streams: {
      codec_name: string
      width: number
      height: number
      sample_aspect_ratio?: string
      channels?: number
      start_time: string
      duration: string
      r_frame_rate: string
      color_range?: string
      color_space?: string
      side_data_list?: object[]
    }[]
    format: { duration: string }
  }
}
