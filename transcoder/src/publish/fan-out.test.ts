import type { OriginTarget } from '@millrace/common/contracts/transcode-job'
import { MillraceError } from '@millrace/common/errors'
import { expect, test } from 'vitest'
import { fanOut } from './fan-out.js'

const origins = ['o1', 'o2', 'o3', 'o4'].map((id) => ({ id, controlUrl: 'http://127.0.0.1:1', rsyncUrl: 'rsync://127.0.0.1:1' }))
const never = new AbortController().signal
const deliverExcept =
  (...dead: string[]) =>
  async ({ id }: OriginTarget) => {
    if (dead.includes(id)) throw new MillraceError(`${id} is full`, { code: 'insufficient-storage', source: 'disk', retryable: false })
  }
const run = (replicas: number, minReplicas: number, deliver: (origin: OriginTarget) => Promise<void>, signal = never) =>
  fanOut({ placement: { origins, replicas, minReplicas }, deliver, signal })

test('fewer than the least: retryable, naming each origin’s reason', async () => {
  await expect(run(2, 2, deliverExcept('o1', 'o2', 'o3'))).rejects.toMatchObject({
    code: 'too-few-origins',
    source: 'origin',
    retryable: true,
    detail: expect.stringMatching(/o1: insufficient-storage: o1 is full[\s\S]*o2[\s\S]*o3/),
  })
})

test('an abort is thrown only when every delivery has ended', async () => {
  const abort = new AbortController()
  let ended = 0
  const deliver = async () => {
    await new Promise<void>((resolve) => abort.signal.addEventListener('abort', () => setImmediate(resolve)))
    ended++
    throw new Error('killed')
  }
  const running = run(2, 1, deliver, abort.signal)
  abort.abort(new Error('cancelled'))
  await expect(running).rejects.toThrow('cancelled')
  expect(ended).toBe(2)
})

test('the next on the list takes the place of a full one, and only then', async () => {
  const results = await run(2, 1, deliverExcept('o2'))
  expect(results.map((result) => `${result.originId} ${result.state}`).sort()).toEqual(['o1 held', 'o2 failed', 'o3 held'])
})

test('all well: the first of the list, and no other is asked', async () => {
  expect(await run(2, 1, deliverExcept())).toEqual([
    { originId: 'o1', state: 'held' },
    { originId: 'o2', state: 'held' },
  ])
})
