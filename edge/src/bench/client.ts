import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { AtOnce, Crowd, Job, Latecomer, OneByOne } from './client-jobs.js'

const MAIN = fileURLToPath(new URL('client-main.js', import.meta.url))

interface Results {
  'one-by-one': OneByOne
  latecomer: Latecomer
  'at-once': AtOnce
  crowd: Crowd
}

/** Does a job in a process of its own on that core. */
export async function runClient<J extends Job>(core: number, job: J): Promise<Results[J['job']]> {
  const child = spawn('taskset', ['-c', String(core), process.execPath, MAIN], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  child.stdin.end(JSON.stringify(job))
  const [code, output] = await Promise.all([ended, text(child.stdout)])
  if (code !== 0) throw new Error(`the client process ended with ${code}`)
  return JSON.parse(output)
}
