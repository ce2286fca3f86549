import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bound } from '@millrace/common/process'
import { atMost, type Bar, describeMachine, median } from '@millrace/common/testing/bench'
import { table } from '@millrace/common/testing/table'
import { CmsApi } from '../demo/api.js'
import { bringUp } from '../demo/journey.js'
import { ProgressLine } from '../demo/progress.js'
import { startStack } from '../stack/stack.js'
import { describeVersions, peakMemoryMiB } from './report.js'

const USAGE = `usage: npm run bench:pipeline [-- --seconds 60 --rounds 3 --size 1920x1080 --preset veryfast]

The whole pipeline (taken from the queue → ready on two origins) against bare ffmpeg with the very same arguments,
in turn in one run. Prints a table, and as its last line one JSON object; exits 1 when a bar is missed.`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: '1920x1080' },
    preset: { type: 'string', default: 'veryfast' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
try {
  process.exitCode = await bench()
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function bench(): Promise<number> {
  console.log(`making a ${values.seconds} s ${values.size} clip`)
  const clip = await makeClip()
  const stack = await startStack({ folder: join(folder, 'stack'), x264Preset: values.preset }, (service, exit) => {
    console.error(`${service.name} ended by itself (${exit.signal ?? exit.code}); its log: ${service.logFile}`)
    process.exit(1)
  })
  try {
    const api = new CmsApi(stack.cmsUrl)
    const ours: number[] = []
    const bare: number[] = []
    for (let round = 1; round <= Number(values.rounds); round++) {
      console.log(`round ${round} of ${values.rounds}`)
      const { video } = await bringUp(api, clip, new ProgressLine(process.stdout))
      const { takenAt, endedAt } = video.job!
      ours.push((Date.parse(endedAt!) - Date.parse(takenAt!)) / 1000)
      bare.push(await runBareFfmpeg(clip, stack.service('t1').logFile))
      console.log(`  pipeline ${ours.at(-1)!.toFixed(2)} s   bare ffmpeg ${bare.at(-1)!.toFixed(2)} s`)
    }
    const services = stack.services.filter((service) => service.name !== 'redis')
    const memory = services.map((service) => ({ name: service.name, peakMiB: peakMemoryMiB(service.pid!) }))
    const ratios = ours.map((seconds, index) => seconds / bare[index]!)
    const bars: Bar[] = [
      atMost('taken-to-ready / bare ffmpeg', median(ratios), 1.1),
      ...memory.map(({ name, peakMiB }) => atMost(`peak memory of ${name}, MiB`, peakMiB, name === 'cms' ? 1024 : 250)),
    ]
    console.log(
      `\n${table(
        ['bar', 'value', 'bound', 'ok'],
        bars.map((bar) => [bar.name, String(bar.value), bar.bound, bar.ok ? 'yes' : 'NO']),
      )}\n`,
    )
    const detail = { clip: { seconds: Number(values.seconds), size: values.size }, preset: values.preset, pipeline_s: ours, ffmpeg_s: bare }
    console.log(JSON.stringify({ bench: 'pipeline', machine: describeMachine(), versions: await describeVersions(), ...detail, bars }))
    return bars.every((bar) => bar.ok !== false) ? 0 : 1
  } finally {
    await stack.stop()
  }
}

/** A moving test picture with grain at 25 Mbit/s, as a camera records 1080p. */
async function makeClip(): Promise<string> {
  const file = join(folder, 'clip.mp4')
  const picture = `testsrc2=size=${values.size}:rate=30:duration=${values.seconds},noise=alls=12:allf=t`
  const input = ['-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', `sine=frequency=440:duration=${values.seconds}`]
  const camera = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '25M', '-maxrate', '25M', '-bufsize', '25M', '-pix_fmt', 'yuv420p']
  await bound('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...input, ...camera, '-c:a', 'aac', file])
  return file
}

/** Runs the command line that the transcoder logged for its last encode, alone, in a folder of its own. @returns seconds. */
async function runBareFfmpeg(clip: string, logFile: string): Promise<number> {
  const lines = (await readFile(logFile, 'utf8')).split('\n').filter((line) => line.includes('"msg":"encode"'))
  const logged = JSON.parse(lines.at(-1) ?? 'null') as { ffmpeg: string; args: string[]; source: string } | null
  if (!logged) throw new Error(`no encode in ${logFile}`)
  const work = join(folder, 'bare')
  await mkdir(join(work, 'out'), { recursive: true })
  await copyFile(clip, join(work, basename(logged.source)))
  await delay(1000) // Lets the origins' writes settle, so that neither side pays for the other's.
  const began = performance.now()
  await bound(logged.ffmpeg, logged.args, { cwd: work, stdin: 'ignore' })
  const seconds = (performance.now() - began) / 1000
  await rm(work, { recursive: true, force: true })
  return seconds
}
