import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bar, type BenchResult, describeMachine } from '@millrace/common/testing/bench'
import { table } from '@millrace/common/testing/table'
import { makeCertificate } from './certificate.js'
import { chooseCores, findTools, type Tools, versionsOf, withSystemFolders } from './environment.js'
import { BAR_HEAD, barRow, resultsPage } from './markdown.js'
import { missCount } from './miss.js'
import { NGINX_FLAGS, type NginxOrigin, startNginxOrigin } from './nginx.js'
import { writeObjects } from './objects.js'
import { type Options, parseOptions, USAGE } from './options.js'
import { type Bench, NOTHING, type PartResult } from './part.js'
import { PARTS } from './parts.js'
import { pinThisProcess } from './pin.js'
import { throttledCount } from './throttled.js'
import { VARNISH_FLAGS } from './varnish.js'
import { WRK_FLAGS } from './wrk.js'

const RESULTS = fileURLToPath(new URL('../../bench/results.md', import.meta.url))

process.env.PATH = withSystemFolders(process.env.PATH)
try {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) console.log(USAGE)
  else process.exitCode = await bench(options)
} catch (error) {
  console.error(error instanceof RangeError ? `${error.message}\n\n${USAGE}` : error)
  process.exitCode = 2
}

async function bench(options: Options): Promise<number> {
  const tools = findTools()
  const chosen = PARTS.filter((part) => options.only?.includes(part.name) ?? true)
  const results = await measure(options, tools, chosen)
  const result: BenchResult = {
    bench: 'edge',
    machine: describeMachine(),
    versions: versionsOf(tools),
    rounds: options.rounds,
    seconds: options.seconds,
    bars: results.flatMap(({ bars }) => bars),
    detail: Object.assign({}, ...results.map(({ detail }) => detail)),
  }
  print(result, results)
  if (options.write) {
    mkdirSync(join(RESULTS, '..'), { recursive: true })
    writeFileSync(RESULTS, resultsPage(result, flags(options), results))
  }
  const line = JSON.stringify(result)
  if (options.json !== undefined) writeFileSync(options.json, `${line}\n`)
  console.log(line)
  return result.bars.every((bar) => bar.ok !== false) ? 0 : 1
}

async function measure(options: Options, tools: Tools, chosen: typeof PARTS): Promise<PartResult[]> {
  const cores = chooseCores()
  const lacking = !cores ? 'this machine has one core' : (['taskset', 'wrk', 'nginx'] as const).find((tool) => !tools[tool])
  // nginx is not only a peer but also everybody's origin.
  if (!cores || lacking) return chosen.map((part) => ({ ...NOTHING, bars: [notRun(part.name, `without ${lacking}`, null)] }))
  pinThisProcess(cores.client)
  const folder = await mkdtemp(join(options.folder, 'millrace-bench-'))
  const root = join(folder, 'files')
  await writeObjects(root, { miss: missCount(options.quick), throttled: throttledCount(options.quick) })
  const origin: NginxOrigin = await startNginxOrigin({ folder: join(folder, 'origin'), root, core: cores.origin })
  const run: Bench = {
    ...options,
    folder,
    cores,
    varnish: tools.varnish !== undefined,
    origin,
    certificate: tools.openssl === undefined ? undefined : await makeCertificate(folder),
    say: (line) => console.log(`  ${line}`),
  }
  const results: PartResult[] = []
  try {
    for (const part of chosen) {
      console.log(`${part.name}: ${part.about}`)
      results.push(await runPart(part, run))
    }
  } finally {
    await origin.stop()
    await rm(folder, { recursive: true, force: true })
  }
  return results
}

/** A part that breaks is a bar that is missed; the others still run. */
async function runPart(part: (typeof PARTS)[number], run: Bench): Promise<PartResult> {
  try {
    return await part.run(run)
  } catch (error) {
    console.error(error)
    return { ...NOTHING, bars: [notRun(part.name, (error as Error).message, false)] }
  }
}

function notRun(part: string, why: string, ok: false | null): Bar {
  return { name: `part ${part}`, value: null, bound: 'runs', ok, why }
}

function print(result: BenchResult, results: readonly PartResult[]): void {
  for (const { tables } of results) for (const { title, head, rows } of tables) console.log(`\n${title}\n${table(head, rows)}`)
  console.log(`\n${table(BAR_HEAD, result.bars.map(barRow))}\n`)
  for (const { notes } of results) for (const note of notes) console.log(note)
}

function flags(options: Options): string[] {
  return [
    `\`npm run bench:edge\`: ${options.rounds} rounds, ${options.seconds} s each, ${WRK_FLAGS}.`,
    `nginx: ${NGINX_FLAGS}.`,
    `Varnish: ${VARNISH_FLAGS}.`,
    'Edge: shipped defaults, signed routes demanded; "edge (disk)" is the same without its RAM tier.',
    'Origin: nginx with static files, the same for all three.',
  ]
}
