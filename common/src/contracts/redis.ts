/** Every Redis name that crosses a tier, in one place. */
export const QUEUE_NAME = 'millrace-transcode'

/** Stream of state changes; consumer group `cms`. One field `event`: JSON of `jobEventSchema`. Entries are deleted after their ack. */
export const EVENT_STREAM = 'millrace:events'
export const EVENT_GROUP = 'cms'
export const EVENT_FIELD = 'event'

/** Hash field `state`: JSON of `progressSchema`. Expires by itself. */
export const progressKey = (videoId: string) => `millrace:progress:${videoId}`
/** Pub/sub: each message is JSON of `progressSchema`. */
export const PROGRESS_CHANNEL = 'millrace:progress'

/** Counter of minted attempts per video (INCR, floored by the job's `attemptFloor`). */
export const attemptKey = (videoId: string) => `millrace:attempt:${videoId}`

/** How often a job was taken: INCR per take, deleted when it ends. */
export const takesKey = (jobId: string) => `millrace:takes:${jobId}`

/** Set in one transaction with a job's final event: a second delivery of the job ends at once. */
export const finishedKey = (jobId: string) => `millrace:finished:${jobId}`

/** Set by the CMS; a transcoder looks at take and is told by CANCEL_CHANNEL while it runs. Value `1`. */
export const cancelKey = (jobId: string) => `millrace:cancel:${jobId}`
/** Pub/sub: each message is a job id. */
export const CANCEL_CHANNEL = 'millrace:cancel'

/** Transcoder heartbeat, JSON of `heartbeatSchema`, with an expiry of a few beats. */
export const heartbeatKey = (transcoderId: string) => `millrace:transcoder:${transcoderId}`
