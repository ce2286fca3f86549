import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Stack, startStack } from '../stack/stack.js'
import { CmsApi, edgeStatus } from './api.js'
import { bringUp, type Journey, playEverything, StepError, step, titleOf } from './journey.js'
import { type DemoOptions, parseOptions } from './options.js'
import { ProgressLine } from './progress.js'
import { printAddresses, printTables, summary } from './report.js'
import { makeSample } from './sample.js'

const options = parseOptions(process.argv)
const say = (text: string) => process.stdout.write(`${text}\n`)

/** @returns the exit code. Whatever happens, nothing that it started is left behind. */
async function main(options: DemoOptions): Promise<number> {
  const folder = options.folder ? resolve(options.folder) : await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const interrupt = interruption()
  const began = performance.now()
  let stack: Stack | undefined
  let broken: ((error: Error) => void) | undefined
  const serviceBroke = new Promise<never>((_, reject) => {
    broken = reject
  })
  serviceBroke.catch(() => undefined)
  try {
    const stages: Record<string, number> = {}
    say('starting: redis, cms, transcoder, 2 origins, 2 edges')
    stack = await step('start', stages, () =>
      Promise.race([
        startStack({ folder, preferredPort: options.port, x264Preset: options.x264Preset }, (service, exit) =>
          broken?.(new StepError(service.name, `ended by itself (${exit.signal ?? `exit ${exit.code}`}); its log: ${service.logFile}`)),
        ),
        interrupt,
      ]),
    )
    const code = await Promise.race([run(stack, folder, stages), serviceBroke, interrupt])
    return code
  } catch (error) {
    if (error instanceof Interrupted) return 130
    const failed = error instanceof StepError ? error.step : 'demo'
    process.stderr.write(`\nfailed at ${failed}\n${(error as Error).message}\n`)
    if (options.folder) process.stderr.write(`logs: ${join(folder, 'logs')}\n`)
    if (options.json) say(JSON.stringify({ ok: false, step: failed, error: (error as Error).message }))
    return 1
  } finally {
    const stopping = stack?.stop()
    if (!options.json) say('stopping')
    await stopping
    if (!options.folder) await rm(folder, { recursive: true, force: true })
    if (!options.json) say(`stopped after ${((performance.now() - began) / 1000).toFixed(0)} s; nothing is left running`)
  }

  async function run(stack: Stack, folder: string, stages: Record<string, number>): Promise<number> {
    const api = new CmsApi(stack.cmsUrl)
    const line = new ProgressLine(process.stdout)
    const sources = options.sources.length > 0 ? options.sources : [await step('sample', stages, () => makeSample(folder))]
    const journeys: Journey[] = []
    for (const source of sources) {
      say(`\n${titleOf(source)}`)
      const journey = await bringUp(api, source, line)
      journeys.push(journey)
      printAddresses(say, stack, journey)
      if (options.once) await playEverything(journey)
    }
    if (!options.once) {
      say('\nPress Ctrl-C to stop.')
      return interrupt
    }
    const edges = await Promise.all(stack.edges.map((edge) => edgeStatus(edge.adminUrl)))
    printTables(say, stages, journeys, edges)
    if (options.json) say(JSON.stringify(summary(stages, journeys, edges, stack.origins)))
    return 0
  }
}

class Interrupted extends Error {}

/** Rejects at the first Ctrl-C or SIGTERM; the second exits at once (children die with this process). */
function interruption(): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    let told = false
    const stop = () => {
      if (told) process.exit(130)
      told = true
      reject(new Interrupted())
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
  promise.catch(() => undefined)
  return promise
}

process.exit(await main(options))
