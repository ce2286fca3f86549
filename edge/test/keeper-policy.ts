import { headerOf } from '../src/cache/entry-meta.js'
import type { Lifetimes } from '../src/cache/judge.js'
import type { Policy, Variants } from '../src/keeper/policy-contract.js'

const EDGE_FIELDS = new Set(['content-length', 'date', 'age', 'connection', 'keep-alive', 'via', 'transfer-encoding'])

/** The few rules of RFC 9111 that the keeper's tests need. */
export const simplePolicy: Policy = {
  judge: (response, resource, now, maxObject) => {
    const control = response.headers['cache-control'] ?? ''
    if (response.status !== 200) return { store: false, reason: 'status' }
    if (/no-store|private/.test(control)) return { store: false, reason: 'directive' }
    if (response.headers['content-encoding'] !== undefined) return { store: false, reason: 'encoded' }
    if (resource.mode === 'media' && response.headers.vary !== undefined) return { store: false, reason: 'vary' }
    if (response.length !== undefined && response.length > maxObject) return { store: false, reason: 'too-large' }
    return { store: true, ...lifetimes(control, now) }
  },
  forbidsSharing: (_meta, fields) =>
    /no-store|private/.test(headerOf({ headers: fields }, 'cache-control') ?? '') ? 'directive' : undefined,
  refreshed: (meta, fields, now) => {
    const etag = headerOf({ headers: fields }, 'etag')
    if (etag !== undefined && etag !== headerOf(meta, 'etag')) return undefined
    return { ...meta, ...lifetimes(headerOf({ headers: fields }, 'cache-control') ?? '', now) }
  },
  validatorsOf: (meta) => {
    const etag = headerOf(meta, 'etag')
    return etag === undefined ? [] : [['if-none-match', etag]]
  },
  servesAsIs: (meta, _fields, now) => meta.freshUntil > now,
  isShared: (meta) => !/no-cache/.test(headerOf(meta, 'cache-control') ?? ''),
  storableHeaders: (fields) => {
    const kept = fields.filter(([name]) => !EDGE_FIELDS.has(name))
    return kept.every(([, value]) => value.length <= 2048) ? kept : undefined
  },
}

export const simpleVariants: Variants = {
  varyNames: (vary) => (vary === undefined ? [] : vary === '*' ? undefined : vary.split(',').map((name) => name.trim().toLowerCase())),
  variantText: (names, fields) => names.map((name) => `${name}=${headerOf({ headers: fields }, name) ?? ''}`).join('&'),
}

function lifetimes(control: string, now: number): Lifetimes {
  const seconds = Number(/max-age=(\d+)/.exec(control)?.[1] ?? 3600)
  return { bornAt: now, freshUntil: now + seconds * 1000, staleWhileRevalidate: 0, staleIfError: 60_000 }
}
