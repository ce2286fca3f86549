import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { PARTS } from './parts.js'

export const USAGE = `usage: npm run bench:edge [-- OPTIONS]

This edge, nginx proxy_cache and Varnish on one origin, on this machine, one worker each: started here, measured in
turn, medians of interleaved rounds. The server that is measured runs on core 0, the client on core 1: keep the machine
quiet. Prints tables, and as its last line one JSON object; exits 1 when a bar is missed. A bar that can't be judged here
(a peer that is not installed, one core) is shown with the reason.

  --only PARTS     some parts, separated by commas; without it all:
${PARTS.map((part) => `                     ${part.name.padEnd(10)} ${part.about}`).join('\n')}
  --quick          2 rounds of 2 s, fewer objects: shows that everything works, measures little
  --rounds N       rounds of each comparison (5)
  --seconds N      length of one run of wrk (4)
  --objects N      how many objects the part million stores (1000000)
  --folder DIR     where to put files of this run (the system's folder for temporary files; not a RAM disk)
  --json FILE      also writes the JSON object there
  --write          also writes edge/bench/results.md
  --help`

export interface Options {
  help: boolean
  only: string[] | undefined
  quick: boolean
  rounds: number
  seconds: number
  objects: number
  folder: string
  json: string | undefined
  write: boolean
}

/** @throws RangeError, or what parseArgs throws, for what the usage doesn't allow. */
export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      objects: { type: 'string' },
      folder: { type: 'string', default: tmpdir() },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const only = values.only?.split(',')
  const unknown = only?.find((name) => !PARTS.some((part) => part.name === name))
  if (unknown !== undefined) throw new RangeError(`no part is called '${unknown}'`)
  return {
    help: values.help,
    only,
    quick: values.quick,
    rounds: whole('--rounds', values.rounds, values.quick ? 2 : 5),
    seconds: whole('--seconds', values.seconds, values.quick ? 2 : 4),
    // A multiple of what its random requests are spread over.
    objects: whole('--objects', values.objects, values.quick ? 50_000 : 1_000_000, 10_000),
    folder: values.folder,
    json: values.json,
    write: values.write,
  }
}

function whole(name: string, text: string | undefined, otherwise: number, min = 1): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min) throw new RangeError(`${name} is not a whole number from ${min}`)
  return value
}
