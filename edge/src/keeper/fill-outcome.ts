/**
 * How a fill ended; a metrics label. `revalidated`: a 304 confirmed the stored entry; `missing`: the route's origins have no such thing;
 * `failed`: no origin gave a byte; `broken`: the origin or the disk failed in mid-body; `outgrown`: a body of unknown length became larger
 * than `cache.maxObject`; `purged`: whole, but a purge came meanwhile; `not-stored`: whole, but no disk took it, or a newer
 * fill has taken its place.
 */
export const FILL_OUTCOMES = ['stored', 'revalidated', 'passed', 'missing', 'failed', 'broken', 'outgrown', 'purged', 'not-stored'] as const
export type FillOutcome = (typeof FILL_OUTCOMES)[number]
