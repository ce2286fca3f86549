import { parseConfig } from '@millrace/common/config/load'
import { transcodeJobSchema } from '@millrace/common/contracts/transcode-job'
import { describe, expect, it } from 'vitest'
import { configSchema } from './config.js'
import { presetWith } from './presets/default.js'
import { connectionOptions } from './queue/bee-queue.js'
import { transcodeJob } from './queue/job.js'

const secret = 'a-secret-of-enough-length'
const origin = (id: string) => ({ id, dataUrl: `http://${id}/`, controlUrl: `http://${id}:1/`, rsyncUrl: `rsync://${id}:2` })
const raw = {
  listen: '127.0.0.1:8080',
  internalToken: secret,
  originToken: secret,
  redis: { url: 'redis://127.0.0.1' },
  database: { path: 'db' },
  sources: { path: 'sources' },
  origins: [origin('o1'), origin('o2')],
  edges: [{ id: 'e1', url: 'http://e1/', adminUrl: 'http://e1:1' }],
}
const refused = (change: object) => () => parseConfig(configSchema, { ...raw, ...change })

describe('the configuration', () => {
  it('refuses what cannot work, naming the key', () => {
    expect(refused({ listen: '0.0.0.0:80' })).toThrow(/api\.token/)
    expect(refused({ listen: '[::]:80', api: { token: secret } })).toThrow(/publicUrl/)
    expect(refused({ database: {} })).toThrow(/database: needs url \(PostgreSQL\) or path/)
    expect(refused({ routes: { sign: 'k1' } })).toThrow(/routes\.sign/)
    expect(refused({ placement: { replicas: 3 } })).toThrow(/placement\.replicas/)
    expect(refused({ placement: { replicas: 1, minReplicas: 2 } })).toThrow(/placement\.minReplicas/)
    expect(refused({ origins: [origin('o1'), origin('o1')] })).toThrow(/origins: has an id twice/)
    expect(refused({ preset: { rungs: [555] } })).toThrow(/preset\.rungs\.0/)
    expect(refused({ surprise: 1 })).toThrow(/surprise/)
  })

  it('has a default for all that may be left out, and hides its secrets', () => {
    const config = parseConfig(configSchema, raw)
    expect(config).toMatchObject({
      id: 'cms-1',
      playback: { supersededGrace: 6 * 3_600_000 },
      jobs: { maxAttempts: 5, reconcileEvery: 5000 },
    })
    expect(config.origins[0]).toMatchObject({ controlUrl: 'http://o1:1', weight: 1 })
    expect(JSON.stringify(config)).not.toContain(secret)
  })

  it('listens anywhere with a token and a public URL', () => {
    expect(
      parseConfig(configSchema, { ...raw, listen: '0.0.0.0:80', publicUrl: 'https://cms.test/', api: { token: secret } }),
    ).toMatchObject({ publicUrl: 'https://cms.test' })
  })
})

describe('a job', () => {
  it('is whole and within its contract', () => {
    const config = parseConfig(configSchema, { ...raw, preset: { rungs: [720, 240], x264Preset: 'ultrafast' } })
    const run = {
      video_id: '01hzy3v8k2m4n6p8q0r2s4t6v8',
      run: 2,
      preset: presetWith(config.preset),
      source: { kind: 'stored' as const, name: 'a.mp4', bytes: 5, sha256: 'ab'.repeat(32) },
      state: 'queued' as const,
      max_attempt: 3,
      attempt: 0,
      transcoder_id: null,
      queued_at: new Date(),
      taken_at: null,
      ended_at: null,
      cancel_requested_at: null,
      requeues: 0,
      timings: {},
    }
    const job = transcodeJob(run, config)
    expect(transcodeJobSchema.parse(job)).toEqual(job)
    expect(job).toMatchObject({ run: 2, attemptFloor: 3, placement: { replicas: 2, minReplicas: 1 }, preset: { x264Preset: 'ultrafast' } })
    expect(job.preset.rungs.map((rung) => rung.size)).toEqual([240, 720])
  })
})

describe('the queue’s connection', () => {
  it('comes from the URL', () => {
    expect(connectionOptions('redis://:p%40ss@[::1]:7000/3')).toMatchObject({ host: '::1', port: 7000, db: 3, password: 'p@ss' })
    expect(connectionOptions('rediss://redis.test')).toMatchObject({ host: 'redis.test', port: 6379, db: 0, tls: {} })
  })
})
