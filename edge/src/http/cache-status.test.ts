import { CACHE_PHASES } from '@millrace/common/contracts/edge-api'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { cacheStatus } from './cache-status.js'

it.each([
  [{ phase: 'hit' }, { ttlMs: 30_999 }, 'e1; hit; ttl=30'],
  [{ phase: 'stale' }, { ttlMs: -1 }, 'e1; hit; ttl=-1'],
  [{ phase: 'negative' }, {}, 'e1; hit; detail=negative'],
  [{ phase: 'miss', cause: 'cold' }, { fwdStatus: 200, stored: true }, 'e1; fwd=uri-miss; fwd-status=200; stored'],
  [{ phase: 'miss' }, { fwd: 'vary-miss' }, 'e1; fwd=vary-miss'],
  [{ phase: 'miss', cause: 'expired' }, { fwdStatus: 200, stored: true }, 'e1; fwd=stale; fwd-status=200; stored'],
  [{ phase: 'coalesced', cause: 'cold' }, {}, 'e1; fwd=uri-miss; collapsed'],
  [{ phase: 'revalidated' }, { fwdStatus: 304, ttlMs: 60_000 }, 'e1; fwd=stale; fwd-status=304; ttl=60'],
  [{ phase: 'stale' }, { fwd: 'stale', fwdStatus: 503, ttlMs: -2000 }, 'e1; fwd=stale; fwd-status=503; ttl=-2'],
  [{ phase: 'bypass' }, { detail: 'too-large' }, 'e1; fwd=bypass; detail=too-large'],
  [{ phase: 'bypass' }, { fwd: 'method', fwdStatus: 201 }, 'e1; fwd=method; fwd-status=201'],
  [{ phase: 'refused' }, { detail: 'bad-path' }, 'e1; detail=bad-path'],
  [{ phase: 'error' }, {}, 'e1; fwd=uri-miss'],
] as const)('says of %j with %j: %s', (decision, details, expected) => {
  expect(cacheStatus('e1', decision, details)).toBe(expected)
})

it('quotes what is no token', () => {
  expect(cacheStatus('1-edge', { phase: 'hit' })).toBe('"1-edge"; hit')
  expect(cacheStatus('-', { phase: 'refused' }, { detail: 'say "no"\\' })).toBe('"-"; detail="say \\"no\\"\\\\"')
})

it('is one structured item with parameters, whatever it says', () => {
  const item = /^(?:[a-z*][\w!#$%&'*+\-.^`|~:/]*|"(?:[ !#-[\]-~]|\\["\\])*")/i
  const member = new RegExp(`${item.source}(?:; [a-z-]+(?:=(?:-?\\d+|${item.source.slice(1)}))?)*$`, 'i')
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z0-9-]{1,32}$/),
      fc.constantFrom(...CACHE_PHASES),
      fc.string(),
      fc.option(fc.integer(), { nil: undefined }),
      (id, phase, detail, ttl) => {
        expect(cacheStatus(id, { phase }, { detail, ...(ttl !== undefined && { ttlMs: ttl }) })).toMatch(member)
      },
    ),
  )
})
