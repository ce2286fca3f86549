import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { clientsSchema, limitsSchema } from './config.js'

describe('limits', () => {
  it.each([
    ['no requests at all', { requestsPerSecond: 0 }, /requestsPerSecond/],
    ['a rate in bare numbers', { transferRate: 1_000_000 }, /transferRate/],
    ['a burst of nothing', { requestBurst: 0 }, /requestBurst/],
    ['an unknown key', { maxConnections: 5 }, /maxConnections/],
    ['a window of no length', { minRateWindow: '0s' }, /minRateWindow/],
  ])('refuses %s and names it', (_what, raw, message) => {
    expect(() => parseConfig(limitsSchema, raw)).toThrow(message)
  })

  it('limits only how many requests run at once where nothing is said', () => {
    expect(parseConfig(limitsSchema, {})).toEqual({ requestBurst: 200, maxRequests: 20_000, transferBurst: 4 << 20, minRateWindow: 30_000 })
  })
})

describe('clients', () => {
  it.each([
    ['a range that is none', { trustedPeers: ['10.0.0.0/40'], forwarded: 'forwarded' }, /trustedPeers\.0/],
    ['a host name', { trustedPeers: ['front.example'] }, /trustedPeers\.0/],
    ['fields believed of nobody', { forwarded: 'x-forwarded-for' }, /trustedPeers/],
    ['an unknown way', { forwarded: 'x-real-ip' }, /forwarded/],
  ])('refuses %s and names it', (_what, raw, message) => {
    expect(() => parseConfig(clientsSchema, raw)).toThrow(message)
  })

  it('believes nobody where nothing is said', () => {
    expect(parseConfig(clientsSchema, {})).toEqual({ trustedPeers: [], forwarded: 'none' })
  })
})
