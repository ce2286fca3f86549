import { signRoute } from '@millrace/common/contracts/route'
import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { CachedGuard, type GuardOptions } from '../auth/route-token.js'
import { cmcdSchema, prefetchSchema } from '../cmcd/config.js'
import { RequestHeaders } from '../http/framing.js'
import { Resolver } from '../serve/resolve.js'
import { playerObserver } from './players.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const DATA = `/dash/${VIDEO}/r1`
const INIT = `${DATA}/init-f1-v1-x3.mp4`
const NEXT = `${DATA}/fragment-1-f1-v1-x3.m4s`
const KEY = Buffer.from('a-key-of-the-tests')
const NOW = 1_700_000_000_000
const SIGNED = signRoute({ origins: ['o1'], exp: NOW / 1000 + 600, kid: 'k1', key: KEY, videoId: VIDEO, rev: 'r1' })

function observing(options: { require?: GuardOptions['require']; blocked?: boolean; sample?: number } = {}) {
  const guard = new CachedGuard({ keys: new Map([['k1', KEY]]), require: options.require ?? false, skewSeconds: 0 })
  const resolver = new Resolver(guard, 0)
  const prefetched: string[] = []
  const observe = playerObserver(
    { cmcd: cmcdSchema.parse({ sample: options.sample ?? 1 }), prefetch: prefetchSchema.parse({ enabled: true, next: false }) },
    {
      registry: new Registry(),
      random: () => 0.5,
      now: () => NOW,
      keeper: { prefetch: ({ key }) => prefetched.push(key.text) },
      origins: { order: (route) => [...route] },
      guard,
      purges: { blocks: () => options.blocked ?? false },
    },
  )
  return (route: string) => {
    const path = `/${route}${INIT}`
    const query = `CMCD=${encodeURIComponent('nor="fragment-1-f1-v1-x3.m4s"')}`
    observe!({ path, query, headers: new RequestHeaders() }, resolver.resolve(path, NOW))
    return prefetched.splice(0)
  }
}

describe('what a player names as its next object', () => {
  it('is not fetched where that demands a signature which the route does not have, but for the next one that has it', () => {
    const next = observing({ require: ['segment'] })
    expect(next('o1')).toEqual([])
    expect(next(SIGNED)).toEqual([NEXT])
  })

  it('is not fetched of a video that was deleted', () => {
    expect(observing({ blocked: true })('o1')).toEqual([])
  })

  it('is fetched, also of requests outside the sample that is counted', () => {
    expect(observing()('o1')).toEqual([NEXT])
    expect(observing({ sample: 0.1 })('o1')).toEqual([NEXT])
  })
})
