import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { SimulatedTime } from '../../test/simulated-time.js'
import { limitsSchema } from './config.js'
import { EdgeLimits } from './limits.js'

const config = (raw: Record<string, unknown>) => parseConfig(limitsSchema, raw)

describe('EdgeLimits', () => {
  it('counts the addresses of one IPv6 /64 together, and IPv4 addresses one by one', () => {
    const limits = new EdgeLimits(config({ requestsPerSecond: 1, requestBurst: 1 }), new SimulatedTime())
    expect(limits.allow('2001:db8:0:1::1')).toBe(0)
    expect(limits.allow('2001:db8:0:1::2')).toBe(1)
    expect(limits.allow('2001:db8:0:2::1')).toBe(0)
    expect([limits.allow('203.0.113.7'), limits.allow('203.0.113.8')]).toEqual([0, 0])
  })

  it('limits nothing but requests at once where nothing is said', () => {
    const limits = new EdgeLimits(config({}), new SimulatedTime())
    expect(limits.rated).toBe(false)
    expect(limits.allow('203.0.113.7')).toBe(0)
    expect(limits.readers).toBeUndefined()
    expect(limits.pace()).toBeUndefined()
  })

  it('holds other limits after a reload', () => {
    const limits = new EdgeLimits(config({}), new SimulatedTime())
    limits.configure(config({ requestsPerSecond: 1, requestBurst: 1, maxRequests: 1, minRate: '1KiB', transferRate: '1MiB' }))
    expect([limits.allow('a'), limits.allow('a')]).toEqual([0, 1])
    expect(limits.maxRequests).toBe(1)
    expect(limits.paced).toBe(true)
    expect(limits.readers).toBeDefined()
    expect(limits.pace()).toBeDefined()
    limits.configure(config({}))
    expect(limits.allow('a')).toBe(0)
    expect(limits.maxRequests).toBe(20_000)
    expect(limits.paced).toBe(false)
    expect(limits.readers).toBeUndefined()
    expect(limits.pace()).toBeUndefined()
  })

  it('paces a transfer: its burst at once, the rest in its time', async () => {
    const time = new SimulatedTime()
    const pace = new EdgeLimits(config({ transferRate: '100KiB', transferBurst: '64KiB' }), time).pace()!
    expect(pace.next(64 * 1024)).toBe(64 * 1024)
    let sent = 0
    const rest = (async () => {
      while (sent < 200 * 1024) sent += await pace.next(200 * 1024 - sent)
    })()
    await time.pass(1000)
    expect(sent / (100 * 1024)).toBeGreaterThan(0.9)
    expect(sent).toBeLessThanOrEqual(100 * 1024)
    await time.pass(1050)
    await rest
    expect(time.timers).toBe(0)
  })
})
