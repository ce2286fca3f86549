import { headerOf } from '../cache/entry-meta.js'
import type { FillHead, FillRequest } from './contract.js'
import type { Policy, Variants } from './policy-contract.js'

/**
 * The head of a fill for a request that had joined it before there was one: it may be meant for the one that leads alone.
 */
export function sharedHead(
  head: FillHead,
  leader: FillRequest,
  joiner: FillRequest,
  { policy, variants, now }: { policy: Pick<Policy, 'isShared'>; variants: Variants; now: () => number },
): FillHead {
  if (head.kind !== 'ready' || leader.upstream.mode !== 'generic' || joiner.upstream.mode !== 'generic') return head
  const shared = policy.isShared(head.meta, leader.upstream.headers, joiner.upstream.headers, now())
  return shared ? selectHead(head, leader, joiner, variants) : { kind: 'pass', reason: 'not-shared' }
}

/**
 * The head of a fill for a request that joined it. In generic mode the answer may vary by fields of the request that leads, and RFC 9111
 * §4.1 says that a cache "MUST NOT use that stored response without revalidation unless all the presented request header fields nominated
 * by that Vary field value match": a request that differs fetches its own.
 */
export function selectHead(head: FillHead, leader: FillRequest, joiner: FillRequest, variants: Variants): FillHead {
  if (head.kind !== 'ready' || leader.upstream.mode !== 'generic' || joiner.upstream.mode !== 'generic') return head
  const names = variants.varyNames(headerOf(head.meta, 'vary'))
  if (names?.length === 0) return head
  const text = names && variants.variantText(names, leader.upstream.headers)
  const same = names && text !== undefined && text === variants.variantText(names, joiner.upstream.headers)
  return same ? head : { kind: 'pass', reason: 'vary' }
}
