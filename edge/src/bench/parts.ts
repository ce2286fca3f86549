import { measureCrowd } from './crowd.js'
import { measureHerd } from './herd.js'
import { measureHits, measureTls } from './hits.js'
import { measureMillion } from './million.js'
import { measureMisses } from './miss.js'
import type { Part } from './part.js'
import { measureThrottled } from './throttled.js'

/** In the order in which they run. */
export const PARTS: readonly Part[] = [
  { name: 'hits', about: 'hits in the clear, from RAM and from disk, against nginx proxy_cache and Varnish', run: measureHits },
  { name: 'tls', about: 'hits over TLS against nginx with the same cipher', run: measureTls },
  { name: 'miss', about: 'time to the first byte of what is not cached, against nginx and Varnish', run: measureMisses },
  { name: 'throttled', about: 'a second client while a slow origin still sends', run: measureThrottled },
  { name: 'herd', about: 'a thousand clients at once for one key that is missing, or expired', run: measureHerd },
  { name: 'crowd', about: 'ten thousand keep-alive connections', run: measureCrowd },
  { name: 'million', about: 'a million stored objects: memory, restart, hits (8 GB of disk, several minutes)', run: measureMillion },
]
