import type { CacheStore } from './store.js'

/** A cache without a disk: for the worker's own keeper, whose fills are in memory while the shared disks take nothing. */
export const NO_STORE: CacheStore = {
  has: () => false,
  look: async () => undefined,
  create: async () => undefined,
  rewrite: async () => false,
  used: () => undefined,
  drop: async () => undefined,
  evicted: () => false,
  stats: () => [],
}
