import { describe, expect, it } from 'vitest'
import { segment, VIDEO } from './edge.js'
import { BODY_LENGTH, serveBytes, serveStatus } from './origin.js'
import { scene } from './scene.js'

const SITE = { origin: 'https://site.example' }
const FIELDS = ['cmcd-request', 'cmcd-object', 'cmcd-session', 'cmcd-status']

describe('a player on another site', () => {
  const at = scene({ routes: { keys: { k: 'the-secret-of-the-cors-tests-0123456789' }, require: ['init'] }, fetch: { maxFills: 1 } })
  const readable = (headers: Record<string, unknown>) =>
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      'timing-allow-origin': '*',
      'access-control-expose-headers': expect.stringContaining('x-cache'),
    })

  it.each<[number, string, (path: string) => void]>([
    [404, '/o1/dash/nothing', () => {}],
    [403, `/o1/dash/${VIDEO}/r1/init-f1-v1-x3.mp4`, () => {}],
    [404, `/o1${segment(1)}`, () => [at.o1, at.o2].map((origin) => origin.behave(serveStatus(404)))],
    [404, `/o9${segment(1)}`, () => {}],
    [502, `/o1${segment(1)}`, () => [at.o1, at.o2].map((origin) => origin.behave(serveStatus(500)))],
    [410, `/o1${segment(1)}`, () => {}],
  ])('may read a %i (%s)', async (status, path, prepare) => {
    prepare(path)
    if (status === 410) await at.purge({ scope: 'video', videoId: VIDEO, block: true })
    // Twice: a remembered 404 too.
    for (let i = 0; i < 2; i++) {
      const answer = await at.edge.get(path, SITE)
      expect(answer.status).toBe(status)
      readable(answer.headers)
    }
  })

  it('may read a 405, a 416 and a 304', async () => {
    const refused = await at.edge.get(`/o1${segment(1)}`, SITE, 'DELETE')
    const beyond = await at.edge.get(`/o1${segment(1)}`, { ...SITE, range: `bytes=${BODY_LENGTH}-` })
    const same = await at.edge.get(`/o1${segment(1)}`, { ...SITE, 'if-none-match': '*' })
    expect([refused.status, beyond.status, same.status]).toEqual([405, 416, 304])
    for (const { headers } of [refused, beyond, same]) readable(headers)
  })

  it('may read a miss, a hit, and what passes by the cache', async () => {
    const phases = []
    for (let i = 0; i < 3; i++) {
      if (i === 2) at.o1.behave(serveBytes(1000, { 'cache-control': 'private', 'access-control-allow-origin': 'https://other.example' }))
      const { headers } = await at.edge.get(`/o1${segment(i === 2 ? 2 : 1)}`, SITE)
      phases.push(headers['x-cache'])
      readable(headers)
      await at.edge.idle()
    }
    expect(phases).toEqual(['miss', 'hit', 'bypass'])
  })

  it.each([segment(1), `/dash/${VIDEO}/r1/init-f1-v1-x3.mp4`, `/files/${VIDEO}/r1/main.m3u8`])(
    'gets one answer for all four CMCD fields, to be kept for a day, and nobody else is asked (%s)',
    async (path) => {
      const preflight = { ...SITE, 'access-control-request-method': 'GET', 'access-control-request-headers': FIELDS.join(',') }
      const { status, headers, body } = await at.edge.get(`/o1${path}`, preflight, 'OPTIONS')
      expect([status, body.length, headers['access-control-max-age']]).toEqual([204, 0, '86400'])
      const allowed = String(headers['access-control-allow-headers']).split(', ')
      for (const field of [...FIELDS, 'range']) expect(allowed).toContain(field)
      expect(String(headers['access-control-allow-methods']).split(', ')).toContain('GET')
      readable(headers)
      // Without a Vary: what the browser keeps for one site and field holds for all.
      expect(headers.vary).toBeUndefined()
      expect([...at.o1.requests, ...at.o2.requests]).toEqual([])
    },
  )

  it('of the one site that cors.origin names is named in answers, also in errors and preflights', async () => {
    await at.restart({ cors: { origin: SITE.origin } })
    const answers = [
      await at.edge.get(`/o1${segment(1)}`, SITE),
      await at.edge.get(`/o9${segment(1)}`, SITE),
      await at.edge.get(`/o1${segment(1)}`, SITE, 'OPTIONS'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 204])
    for (const { headers } of answers) expect(headers['access-control-allow-origin']).toBe(SITE.origin)
  })
})
