import { describe, expect, it } from 'vitest'
import { fetchSchema, healthSchema, originsSchema } from './config.js'

const issue = (result: { error?: { issues: { path: PropertyKey[]; message: string }[] } | undefined }) => {
  const first = result.error?.issues[0]
  return first && `${first.path.join('.')}: ${first.message}`
}
const origin = (more: object) => originsSchema.safeParse([{ id: 'o1', url: 'http://a:1', ...more }])

describe('the configuration of origins', () => {
  it.each<[string, object, RegExp]>([
    ['a path in a URL', { url: 'http://a:1/b' }, /^0\.url: is not just/],
    ['credentials in a URL', { url: 'http://u:p@a:1' }, /^0\.url: is not just/],
    ['a scheme that is not HTTP', { url: 'ftp://a' }, /^0\.url: /],
    ['an authority for an http origin', { ca: 'package.json' }, /^0\.ca: has no PEM certificate/],
    ['a key that is not known', { weight: 1 }, /weight/],
  ])('refuses %s', (_what, more, message) => {
    expect(issue(origin(more))).toMatch(message)
  })

  it('refuses two origins with one id', () => {
    const both = [
      { id: 'o1', url: 'http://a' },
      { id: 'o1', url: 'http://b' },
    ]
    expect(issue(originsSchema.safeParse(both))).toBe(': two origins have one id')
  })

  it('takes a URL to its scheme, host and port', () => {
    expect(originsSchema.parse([{ id: 'o1', url: 'http://A:80/' }])).toEqual([{ id: 'o1', url: 'http://a' }])
  })

  it('never hedges and probes with HEAD / unless told otherwise', () => {
    expect(fetchSchema.parse({})).toMatchObject({
      hedgeAfter: 0,
      queueTimeout: 2000,
      retryBudget: { ratio: 0.2, minPerSecond: 10, burst: 500 },
    })
    expect(healthSchema.parse({}).probe).toEqual({ path: '/', interval: 5000, timeout: 2000 })
    expect(healthSchema.parse({ probe: false }).probe).toBe(false)
  })

  it('lets those who wait for a fill outwait an origin that hangs', () => {
    const { lockTimeout, connectTimeout, headersTimeout } = fetchSchema.parse({})
    expect(lockTimeout).toBeGreaterThan(connectTimeout + headersTimeout)
  })

  it('refuses a probe path that is none', () => {
    expect(issue(healthSchema.safeParse({ probe: { path: 'x y' } }))).toMatch(/^probe/)
  })
})
