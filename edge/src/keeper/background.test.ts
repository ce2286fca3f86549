import { beforeEach, describe, expect, it } from 'vitest'
import { cacheKey } from '../cache/key.js'
import { BackgroundRevalidation } from './background.js'
import type { Fill, FillHead, FillRequest, Opened } from './contract.js'
import { Growing } from './growing.js'

const request = (path: string): FillRequest => ({ key: cacheKey(path), order: ['o1'], upstream: { mode: 'media', path } })

class HandFill extends Growing implements Fill {
  tell!: (head: FillHead) => void
  readonly head = new Promise<FillHead>((resolve) => {
    this.tell = resolve
  })
}

const READY = { kind: 'ready', meta: {}, cause: 'expired', first: new Uint8Array(0), location: {} } as unknown as FillHead

describe('of many stale hits of one key', () => {
  let now: number
  let opens: string[]
  let answer: (path: string) => Promise<Opened>
  let background: BackgroundRevalidation

  beforeEach(() => {
    now = 1000
    opens = []
    background = new BackgroundRevalidation(
      {
        open: (asked) => {
          opens.push(asked.key.text)
          return answer(asked.key.text)
        },
      },
      { maxRunning: 2, pauseMs: 1000 },
      () => now,
    )
  })

  const hits = async (count: number, path = '/a') => {
    for (let i = 0; i < count; i++) background.revalidate(request(path))
    await new Promise((resolve) => setImmediate(resolve))
  }

  it.each<[string, () => Promise<Opened>]>([
    ['the keeper is busy', () => Promise.reject(new Error('busy'))],
    ['the keeper is away', async () => ({ kind: 'pass', reason: 'not-now' })],
    ['no origin has it', async () => ({ kind: 'missing' })],
    ['every origin fails', async () => ({ kind: 'fill', led: true, fill: failed() })],
  ])('one asks the keeper, and after a while another one, when %s', async (_what, said) => {
    answer = said
    await hits(100)
    await hits(100)
    expect(opens).toEqual(['/a'])
    now += 1001
    await hits(100)
    expect(opens).toEqual(['/a', '/a'])
  })

  it('one asks the keeper until the head is told, and until a new body is there', async () => {
    const fill = new HandFill()
    answer = async () => ({ kind: 'fill', led: false, fill })
    await hits(100)
    fill.tell(READY)
    await hits(100)
    fill.grow(1000)
    now += 10_000
    await hits(100)
    expect(opens).toEqual(['/a'])
    fill.end('complete')
    await hits(1)
    now += 1001
    await hits(1)
    expect(opens).toEqual(['/a', '/a'])
  })

  it('one asks again at once when it expires again after it was confirmed', async () => {
    answer = async () => ({ kind: 'stored', revalidated: true })
    await hits(1)
    await hits(1)
    expect(opens).toEqual(['/a', '/a'])
  })

  it('no more keys than the limit are asked for at once', async () => {
    const fill = new HandFill()
    answer = async () => ({ kind: 'fill', led: true, fill })
    for (const path of ['/a', '/b', '/c']) await hits(1, path)
    expect(opens).toEqual(['/a', '/b'])
    fill.tell({ kind: 'stored', revalidated: true })
    await hits(0)
    await hits(1, '/c')
    expect(opens).toEqual(['/a', '/b', '/c'])
  })
})

function failed(): Fill {
  const fill = new HandFill()
  fill.end('broken')
  fill.tell({ kind: 'failed', attempts: [] })
  return fill
}
