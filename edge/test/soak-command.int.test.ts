import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('../dist/soak/main.js', import.meta.url))
const KILLS = ['worker', 'keeper', 'edge', 'edge-parent', 'origin', 'both-origins']
/** Those that hold on a machine of any speed. */
const BARS = /^(differences|of them in the sweep|disk use|files left in tmp|fsck|exit code)/

interface Result {
  faults: Record<string, number>
  seen: { requests: number; answers: Record<string, number> }
  bars: { name: string; value: unknown; ok: boolean | null; why?: string }[]
}

/** The command's last line, and all that it has printed before. */
function soak(args: string[]): Promise<{ result: Result; printed: string }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [MAIN, ...args], { encoding: 'utf8', maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      const last = stdout.trimEnd().split('\n').at(-1) ?? ''
      // A bar that was missed is told by its exit code, too.
      if (!last.startsWith('{')) reject(new Error(`the soak ended without a result: ${stderr || error?.message}\n${stdout}`))
      else resolve({ result: JSON.parse(last), printed: stdout })
    })
  })
}

it('serves no wrong byte through one kill -9 of each: a worker, the keeper, all of the edge, its first process, an origin, both', async () => {
  const { result, printed } = await soak(['--minutes', '0.2', '--clients', '40', '--seed', '7', '--each-once'])
  expect(result.faults).toEqual(Object.fromEntries(KILLS.map((kill) => [kill, 1])))
  const bars = result.bars.filter(({ name }) => BARS.test(name))
  expect(bars.length).toBe(6)
  expect(
    bars.filter(({ ok }) => ok !== true),
    printed,
  ).toEqual([])
  // Cold, from the cache, and larger than it.
  expect(result.seen.requests).toBeGreaterThan(1000)
  for (const answer of ['200 miss', '200 hit', '206 hit']) expect(result.seen.answers[answer], answer).toBeGreaterThan(0)
}, 180_000)
