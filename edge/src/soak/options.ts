import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'

export const USAGE = `usage: npm run soak:edge [-- OPTIONS]

An edge with two workers before two origins, a cache ten times too small, hundreds of clients that ask for wholes and
ranges, leave early and read slowly; and every few seconds kill -9 of a worker, the keeper, an origin, both, or the whole
edge. Each byte served is compared with the origin's. In the last third no process of the edge is killed, so that growth
can be seen. Prints a summary every 10 s, tables, and as its last line one JSON object; exits 1 when a bar is missed.

  --minutes N    how long (10); below 5, growth is not judged
  --clients N    how many at once (300)
  --seed N       objects, requests and faults follow from it (of the clock)
  --each-once    kills each of them once, however long that takes, and not at random
  --folder DIR   where to put files of this run (the system's folder for temporary files)
  --keep         leaves that folder behind
  --help`

export interface Options {
  help: boolean
  minutes: number
  clients: number
  seed: number
  eachOnce: boolean
  folder: string
  keep: boolean
}

/** @throws RangeError, or what parseArgs throws, for what the usage doesn't allow. */
export function parseOptions(args: string[], now: number): Options {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '10' },
      clients: { type: 'string', default: '300' },
      seed: { type: 'string', default: String(now % 1_000_000) },
      'each-once': { type: 'boolean', default: false },
      folder: { type: 'string', default: tmpdir() },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const minutes = Number(values.minutes)
  if (!(minutes >= 0.2 && minutes <= 1440)) throw new RangeError('--minutes is not a number from 0.2 to 1440')
  const whole = (name: 'clients' | 'seed', min: number, max: number) => {
    const value = Number(values[name])
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw new RangeError(`--${name} is not a whole number from ${min} to ${max}`)
    return value
  }
  const { help, folder, keep, 'each-once': eachOnce } = values
  return { help, minutes, clients: whole('clients', 1, 5000), seed: whole('seed', 0, 2 ** 32 - 1), eachOnce, folder, keep }
}
