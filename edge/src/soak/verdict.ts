import { atMost, type Bar, notJudged, rounded } from '@millrace/common/testing/bench'
import { GROWTH_LIMITS, type Grown, hasGrown } from './growth.js'
import { BUDGET, type SoakResult } from './soak.js'

/** What a player retries without its viewer's notice. */
const BROKEN_SHARE = 0.001

export function judgeSoak(result: SoakResult, options: { minutes: number; grown: readonly Grown[] }): Bar[] {
  const { tally, disk, damage, end } = result
  return [
    atMost('differences: wrong bytes, lengths, ranges, statuses', tally.differences, 0),
    atMost('of them in the sweep of every object at the end', result.sweepDifferences, 0),
    atMost('5xx while an origin, the keeper and the edge were there', tally.refused.otherwise, 0),
    atMost('broken transfers, nothing being killed, of all requests', tally.broken.otherwise / tally.requests, BROKEN_SHARE),
    atMost('requests that failed because of a kill, of all', (tally.broken.inTrouble + tally.refused.inTrouble) / tally.requests, 0.25),
    growth(options.minutes, options.grown),
    atMost('disk use at its peak, of the budget', result.peakDisk / BUDGET, 1),
    atMost('files left in tmp', disk.tmp, 0),
    { name: 'fsck finds nothing wrong', value: null, bound: 'clean', ok: damage === undefined, ...why(damage) },
    { name: 'exit code at the end', value: end.code, bound: '==0', ok: end.code === 0 },
  ]
}

function growth(minutes: number, grown: readonly Grown[]): Bar {
  const bar = atMost(`long-lived processes that grew by more than ${GROWTH_LIMITS.resident}, or ${GROWTH_LIMITS.files} descriptors`, 0, 0)
  const judged = { ...bar, value: grown.filter(hasGrown).length, ok: grown.length > 0 && !grown.some(hasGrown) }
  return minutes >= 5 ? judged : notJudged(judged, 'a run this short shows start-up, not growth')
}

function why(damage: string | undefined): { why?: string } {
  return damage === undefined ? {} : { why: damage }
}

/** One row for each process that lived long enough. */
export function growthRows(grown: readonly Grown[]): (string | number)[][] {
  const change = ([early, late]: [number, number]) => `${rounded(Math.round(early * 10) / 10)} → ${rounded(Math.round(late * 10) / 10)}`
  return grown.map(({ role, pid, lived, residentMiB, files }) => [`${role} ${pid}`, Math.round(lived), change(residentMiB), change(files)])
}
