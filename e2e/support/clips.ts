import { join } from 'node:path'
import { bound } from '@millrace/common/process'

export interface ClipOptions {
  seconds: number
  size?: string
  rate?: number
  /** ISO 639-2 language of each audio track. */
  audio?: string[]
  subtitles?: string
}

/** A test picture with a running clock, sine tones and subtitles, made by ffmpeg. @returns its path. */
export async function makeClip(folder: string, name: string, options: ClipOptions): Promise<string> {
  const { seconds, size = '640x360', rate = 25, audio = ['eng'], subtitles } = options
  const file = join(folder, name)
  const inputs = ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`]
  const maps = ['-map', '0:v']
  const metadata: string[] = []
  audio.forEach((language, index) => {
    inputs.push('-f', 'lavfi', '-i', `sine=frequency=${330 + 110 * index}:sample_rate=48000:duration=${seconds}`)
    maps.push('-map', `${index + 1}:a`)
    metadata.push(`-metadata:s:a:${index}`, `language=${language}`)
  })
  if (subtitles) {
    inputs.push('-i', subtitles)
    maps.push('-map', `${audio.length + 1}:s`, '-c:s', 'mov_text')
    metadata.push('-metadata:s:s:0', 'language=eng')
  }
  const encode = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac']
  await bound('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...inputs, ...maps, ...encode, ...metadata, file])
  return file
}
