import { spawn } from 'node:child_process'
import { Agent } from 'node:http'
import { text } from 'node:stream/consumers'
import { EDGE_MAIN, type EdgeProcess } from '../harness/edge-process.js'
import type { Plan } from './plan.js'
import { type ViewerDependencies, watch } from './viewer.js'

const LANES = 8
const ATTEMPTS = 5

/** Every object, whole; the tally tells what was wrong. An origin that hangs up may cost an attempt, five in a row are no accident. */
export async function sweep(dependencies: ViewerDependencies): Promise<void> {
  const left = [...dependencies.objects]
  const lane = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let object = left.pop(); object; object = left.pop()) {
      const plan: Plan = { object, method: 'GET', headers: {}, right: [200], slow: false }
      let served = false
      for (let attempt = 0; attempt < ATTEMPTS && !served; attempt++) served = await watch(dependencies, agent, plan)
      if (!served) dependencies.tally.difference(`not to be had at the end: ${object.path}`)
    }
    agent.destroy()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

/** @returns what `main.js fsck` found wrong with a cache that no edge has open; undefined when nothing was. */
export async function fsck(edge: EdgeProcess): Promise<string | undefined> {
  const child = spawn(process.execPath, [EDGE_MAIN, 'fsck', '--config', edge.configFile], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  const [code, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  return code === 0 ? undefined : `fsck ended with ${code}:\n${output}${errors}`
}
