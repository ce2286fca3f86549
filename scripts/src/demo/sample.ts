import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bound } from '@millrace/common/process'

/** A 30-second 720p test picture with a running clock, two languages of sound and subtitles: enough to try every menu of a player. */
export async function makeSample(folder: string): Promise<string> {
  const subtitles = join(folder, 'sample.srt')
  const cue = (n: number) =>
    `${n + 1}\n00:00:${String(n * 3).padStart(2, '0')},000 --> 00:00:${String(n * 3 + 2).padStart(2, '0')},500\nSubtitle ${n + 1}\n`
  await writeFile(subtitles, Array.from({ length: 10 }, (_, n) => cue(n)).join('\n'))
  const file = join(folder, 'sample.mp4')
  const inputs = [
    ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30:duration=30'],
    ['-f', 'lavfi', '-i', 'sine=frequency=440:beep_factor=4:duration=30'],
    ['-f', 'lavfi', '-i', 'sine=frequency=330:beep_factor=2:duration=30'],
    ['-i', subtitles],
  ].flat()
  const streams = [
    '-map',
    '0:v',
    '-map',
    '1:a',
    '-map',
    '2:a',
    '-map',
    '3:s',
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-pix_fmt',
    'yuv420p',
  ]
  const languages = ['-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=fra', '-metadata:s:s:0', 'language=eng']
  await bound('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...inputs, ...streams, '-c:a', 'aac', '-c:s', 'mov_text', ...languages, file])
  return file
}
