import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { until } from '../src/testing/until.js'

const dist = fileURLToPath(new URL('../dist/process.js', import.meta.url))

it('a bound child dies with its parent, also when the parent is killed with SIGKILL', async () => {
  const script = `import { bound } from ${JSON.stringify(dist)}
    const child = bound('sleep', ['600'], { reject: false })
    console.log(child.pid)
    await child`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(line.toString())
  expect(alive(pid)).toBe(true)
  parent.kill('SIGKILL')
  await until(`process ${pid} to be gone`, () => !alive(pid), 5000)
})

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
