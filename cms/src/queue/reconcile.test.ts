import { describe, expect, it } from 'vitest'
import { MAX_REQUEUES, type RunFacts, runAction } from './reconcile.js'

const run = { cancel_requested_at: null, requeues: 0, state: 'queued' as const }
const gone: RunFacts = { inQueue: false, running: false, finished: false, streamEmpty: true }

describe('what an open run needs', () => {
  it('is a new job when the queue lost it and nobody works on it', () => {
    expect(runAction(run, gone)).toBe('enqueue')
    expect(runAction({ ...run, state: 'transcoding' }, gone)).toBe('enqueue')
  })

  it('is nothing while the queue has it or a transcoder works on it', () => {
    expect(runAction(run, { ...gone, inQueue: true })).toBe('none')
    expect(runAction(run, { ...gone, running: true })).toBe('none')
  })

  it('is nothing while its final event may still be in the stream', () => {
    expect(runAction(run, { ...gone, finished: true, streamEmpty: false })).toBe('none')
  })

  it('is a fresh job when its final event was lost, but not for ever', () => {
    expect(runAction(run, { ...gone, finished: true })).toBe('enqueue-anew')
    expect(runAction({ ...run, requeues: MAX_REQUEUES }, { ...gone, finished: true })).toBe('fail-lost')
  })

  it('is an end when it was to be cancelled or deleted and nobody is left to say so', () => {
    expect(runAction({ ...run, cancel_requested_at: new Date() }, gone)).toBe('end-cancelled')
    expect(runAction({ ...run, state: 'deleted' }, gone)).toBe('end-cancelled')
    expect(runAction({ ...run, cancel_requested_at: new Date() }, { ...gone, running: true })).toBe('none')
  })
})
