import { setImmediate as turn } from 'node:timers/promises'
import { MillraceError } from '@millrace/common/errors'
import { describe, expect, it } from 'vitest'
import { Operations, type Work } from './operations.js'

const ref = (n: number) => ({ videoId: String(n).padStart(26, '0'), rev: 'r1' })
const request = (n: number, assetSha256 = 'a') => ({ kind: 'commit' as const, ref: ref(n), assetSha256 })

function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

function setup(concurrency = 2) {
  const ended: string[] = []
  return { ended, operations: new Operations({ concurrency, onEnd: ({ state, error }) => void ended.push(error?.code ?? state) }) }
}

describe('operations', () => {
  it('tells what failed and frees its asset', async () => {
    const { operations, ended } = setup()
    const { id } = operations.start(request(1), async () => {
      throw new MillraceError('no', { code: 'wrong-hash', source: 'transfer', retryable: true })
    })
    await turn()
    expect(operations.get(id)).toMatchObject({ state: 'failed', error: { code: 'wrong-hash', retryable: true } })
    expect(ended).toEqual(['wrong-hash'])
    expect(operations.isBusy(ref(1))).toBe(false)
  })

  it('refuses whatever overlaps on one asset, and joins the same thing', async () => {
    const { operations } = setup()
    const { opened, open } = gate()
    const first = operations.start(request(1), () => opened)
    expect(operations.start(request(1), () => opened).id).toBe(first.id)
    expect(() => operations.start(request(1, 'b'), () => opened)).toThrow('another operation')
    await expect(operations.exclusively(ref(1), async () => {})).rejects.toMatchObject({ code: 'busy', status: 409 })
    await operations.exclusively(ref(2), async () => {
      expect(() => operations.start(request(2), () => opened)).toThrow('another operation')
    })
    open()
    await operations.stop()
    expect(operations.get(first.id)?.state).toBe('done')
  })

  it('runs a few at a time, the others in order', async () => {
    const { operations } = setup(2)
    const gates = [gate(), gate(), gate()]
    const started: number[] = []
    for (const [i, { opened }] of gates.entries()) {
      operations.start(request(i), async () => {
        started.push(i)
        await opened
      })
    }
    await turn()
    expect(started).toEqual([0, 1])
    gates[1]!.open()
    await turn()
    expect(started).toEqual([0, 1, 2])
    for (const { open } of gates) open()
    await operations.stop()
  })

  it('counts bytes', async () => {
    const { operations } = setup()
    const { id } = operations.start(request(1), async ({ onTotal, onBytes }: Work) => {
      onTotal(10)
      onBytes(4)
      onBytes(6)
    })
    await turn()
    expect(operations.get(id)).toMatchObject({ state: 'done', bytesDone: 10, bytesTotal: 10 })
  })

  it('aborts what runs when it stops, and takes nothing new', async () => {
    const { operations, ended } = setup(1)
    operations.start(
      request(1),
      ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
    )
    operations.start(request(2), async () => {})
    await turn()
    await operations.stop()
    expect(ended).toEqual(['stopping', 'stopping'])
    expect(() => operations.start(request(3), async () => {})).toThrow('stopping')
  })
})
