import { VIDEO_STATES, type VideoState } from '@millrace/common/contracts/cms-api'
import { describe, expect, it } from 'vitest'
import { isRunning, mustBecome, nextState, VIDEO_EVENTS } from './states.js'

/** The whole table, spelt out: one line per state, one column per event, `-` for refused. */
const EXPECTED = `
             queue   take         release publish     settle-full settle-short fail    cancel     delete   replicas-full replicas-short
created      queued  -            -       -           -           -            -       -          deleted  -             -
queued       -       transcoding  -       -           ready       degraded     failed  cancelled  deleted  -             -
transcoding  -       transcoding  queued  publishing  ready       degraded     failed  cancelled  deleted  -             -
publishing   -       transcoding  queued  publishing  ready       degraded     failed  cancelled  deleted  -             -
ready        queued  -            -       -           ready       degraded     -       -          deleted  ready         degraded
degraded     queued  -            -       -           ready       degraded     -       -          deleted  ready         degraded
failed       queued  -            -       -           ready       degraded     -       -          deleted  -             -
cancelled    queued  -            -       -           ready       degraded     -       -          deleted  -             -
deleted      -       -            -       -           -           -            -       -          deleted  -             -
`
const [head, ...lines] = EXPECTED.trim().split('\n')
const events = head!.trim().split(/\s+/)
const rows = lines.map((line) => line.trim().split(/\s+/))

describe('the table of states', () => {
  it('is tested whole', () => {
    expect(events).toEqual([...VIDEO_EVENTS])
    expect(rows.map(([state]) => state)).toEqual([...VIDEO_STATES])
  })

  for (const [state, ...targets] of rows) {
    it(`of ${state}`, () => {
      const actual = VIDEO_EVENTS.map((event) => nextState(state as VideoState, event) ?? '-')
      expect(actual).toEqual(targets)
    })
  }

  it('refuses every event of a deleted video but another delete', () => {
    for (const event of VIDEO_EVENTS) expect(nextState('deleted', event)).toBe(event === 'delete' ? 'deleted' : undefined)
  })

  it('answers a person with 409 when the state forbids it', () => {
    expect(() => mustBecome('queued', 'queue', 'retried')).toThrow(
      expect.objectContaining({ code: 'wrong-state', status: 409, message: 'a video that is queued cannot be retried' }),
    )
    expect(mustBecome('failed', 'queue', 'retried')).toBe('queued')
  })

  it('knows which states have a run under way', () => {
    expect(VIDEO_STATES.filter(isRunning)).toEqual(['queued', 'transcoding', 'publishing'])
  })
})
