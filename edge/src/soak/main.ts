import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BenchResult, describeMachine } from '@millrace/common/testing/bench'
import { table } from '@millrace/common/testing/table'
import { VERSION } from '@millrace/common/version'
import { type Options, parseOptions, USAGE } from './options.js'
import { type SoakResult, soak } from './soak.js'
import { growthRows, judgeSoak } from './verdict.js'

try {
  const options = parseOptions(process.argv.slice(2), Date.now())
  if (options.help) console.log(USAGE)
  else process.exitCode = await main(options)
} catch (error) {
  console.error(error instanceof RangeError ? `${error.message}\n\n${USAGE}` : error)
  process.exitCode = 2
}

async function main(options: Options): Promise<number> {
  const folder = await mkdtemp(join(options.folder, 'millrace-soak-'))
  console.log(`${options.minutes} minutes, ${options.clients} clients, --seed ${options.seed}`)
  try {
    const result = await soak(options, folder, (line) => console.log(`  ${line}`))
    return report(options, result)
  } finally {
    if (options.keep) console.log(`left behind: ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

function report(options: Options, result: SoakResult): number {
  const grown = result.lives.longer(options.minutes * 12_000)
  const bars = judgeSoak(result, { minutes: options.minutes, grown })
  const { tally, faults } = result
  const answers = [...tally.answers].sort(([, a], [, b]) => b - a)
  for (const example of tally.examples) console.log(`  ${example}`)
  if (result.damage) console.log(result.damage)
  console.log(`\n${table(['answer', 'requests'], answers)}`)
  console.log(`\n${table(['kill -9', 'times'], Object.entries(faults))}`)
  console.log(`\n${table(['process', 'lived s', 'memory MiB', 'descriptors'], growthRows(grown))}`)
  console.log(
    `\n${table(
      ['bar', 'value', 'bound', 'ok'],
      bars.map((bar) => [bar.name, String(bar.value ?? ''), bar.bound, bar.ok === null ? `? ${bar.why}` : bar.ok ? 'yes' : 'NO']),
    )}\n`,
  )
  const { requests, bytes, aborted, broken, refused } = tally
  const line: BenchResult = {
    bench: 'soak-edge',
    machine: describeMachine(),
    versions: { millrace: VERSION, node: process.version },
    seed: options.seed,
    minutes: options.minutes,
    clients: options.clients,
    seen: { requests, bytes, aborted, broken, refused, answers: Object.fromEntries(answers) },
    faults,
    grown,
    bars,
  }
  console.log(JSON.stringify(line))
  return bars.every((bar) => bar.ok !== false) ? 0 : 1
}
