import type { VideoState } from '@millrace/common/contracts/cms-api'
import { MillraceError } from '@millrace/common/errors'

/**
 * What may happen to a video:
 *
 *   queue            a run was created: the first, a retry, a re-transcode
 *   take             a transcoder took the job
 *   release          that attempt failed, the queue delivers the job again
 *   publish          the attempt began to publish
 *   settle-full      the revision that plays is on every wanted origin
 *   settle-short     it plays, but a wanted replica is missing
 *   fail             the run ended without a playable revision
 *   cancel           the run was cancelled, and there is no playable revision
 *   delete           by a person
 *   replicas-full    the last missing replica was made
 *   replicas-short   a replica is wanted that is not there
 */
export const VIDEO_EVENTS = [
  'queue',
  'take',
  'release',
  'publish',
  'settle-full',
  'settle-short',
  'fail',
  'cancel',
  'delete',
  'replicas-full',
  'replicas-short',
] as const
export type VideoEvent = (typeof VIDEO_EVENTS)[number]

const RESTING = { queue: 'queued', 'settle-full': 'ready', 'settle-short': 'degraded', delete: 'deleted' } as const
const RUNNING = { 'settle-full': 'ready', 'settle-short': 'degraded', fail: 'failed', cancel: 'cancelled', delete: 'deleted' } as const

/** The one table of states: a pair that isn't here is refused. */
const TABLE: Record<VideoState, Partial<Record<VideoEvent, VideoState>>> = {
  created: { queue: 'queued', delete: 'deleted' },
  queued: { ...RUNNING, take: 'transcoding' },
  transcoding: { ...RUNNING, take: 'transcoding', publish: 'publishing', release: 'queued' },
  publishing: { ...RUNNING, take: 'transcoding', publish: 'publishing', release: 'queued' },
  ready: { ...RESTING, 'replicas-full': 'ready', 'replicas-short': 'degraded' },
  degraded: { ...RESTING, 'replicas-full': 'ready', 'replicas-short': 'degraded' },
  failed: RESTING,
  cancelled: RESTING,
  deleted: { delete: 'deleted' },
}

/** @returns undefined when the event is refused in this state. */
export function nextState(state: VideoState, event: VideoEvent): VideoState | undefined {
  return TABLE[state][event]
}

/** @throws MillraceError `wrong-state` (409): what a person asked for cannot be done now. */
export function mustBecome(state: VideoState, event: VideoEvent, what: string): VideoState {
  const next = nextState(state, event)
  if (next) return next
  throw new MillraceError(`a video that is ${state} cannot be ${what}`, {
    code: 'wrong-state',
    source: 'client',
    retryable: false,
    status: 409,
  })
}

/** States in which a run is under way. */
export const RUNNING_STATES = ['queued', 'transcoding', 'publishing'] as const satisfies VideoState[]

export function isRunning(state: VideoState): boolean {
  return (RUNNING_STATES as readonly VideoState[]).includes(state)
}
