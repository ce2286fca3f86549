import { parseMediaPath } from '@millrace/common/contracts/media-url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MediaRequest, namedNext, numberedNext } from './prefetch.js'
import { PrefetchPlan } from './prefetch-plan.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const OTHER = '01hzy3v8k2m4n6p8q0r2s4t6v9'
const ROUTE = `o1.o2~v1~1900000000~k1~${'A'.repeat(43)}`
const DATA = `/dash/${VIDEO}/r1`

function request(path = `${DATA}/fragment-7-f1-v1-x3.m4s`, route = ROUTE): MediaRequest {
  return { url: `/${route}${path}`, media: parseMediaPath(path)! }
}

describe('namedNext', () => {
  it.each([
    ['another host', 'http://evil.example/x'],
    ['another host without a scheme', `//evil.example/${ROUTE}${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['another host by backslashes', `\\\\evil.example/${ROUTE}${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['another port of the base', `http://edge.invalid:81/${ROUTE}${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['credentials', `http://u:p@edge.invalid/${ROUTE}${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['another scheme', `file:///${ROUTE}${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['another route', `/o9${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['the route of an unsigned URL', `/o1.o2${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['another video', `/${ROUTE}/dash/${OTHER}/r1/fragment-8-f1-v1-x3.m4s`],
    ['another video by dots', `../../${OTHER}/r1/fragment-8-f1-v1-x3.m4s`],
    ['another revision', '../r2/fragment-8-f1-v1-x3.m4s'],
    ['another video by encoded dots', `%2e%2e/%2e%2e/${OTHER}/r1/fragment-8-f1-v1-x3.m4s`],
    ['a path above the root', '../../../../../../etc/passwd'],
    ['encoding within encoding', '%252e%252e/r2/fragment-8-f1-v1-x3.m4s'],
    ['a percent sign that encodes nothing', 'fragment-8-f1-v1-x3.m4s%'],
    ['a line feed', 'fragment-8\n-f1-v1-x3.m4s'],
    ['a space', ' fragment-8-f1-v1-x3.m4s'],
    ['what is no media path', 'vod.json'],
    ['a playlist', `/${ROUTE}/files/${VIDEO}/r1/main.m3u8`],
    ['a download', `/${ROUTE}/files/${VIDEO}/r1/whole.mp4`],
    ['itself', 'fragment-7-f1-v1-x3.m4s'],
    ['nothing', ''],
    ['a name too long', `${'x/../'.repeat(300)}fragment-8-f1-v1-x3.m4s`],
  ])('is nothing for %s', (_what, nor) => {
    expect(namedNext(request(), nor)).toBeUndefined()
  })

  it.each([
    ['fragment-8-f1-v1-x3.m4s', `${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['./fragment-8-f2-v1-x3.m4s', `${DATA}/fragment-8-f2-v1-x3.m4s`],
    ['..%2Fr1%2Ffragment-8-f1-v1-x3.m4s', `${DATA}/fragment-8-f1-v1-x3.m4s`],
    ['init-f3-v1-x3.mp4', `${DATA}/init-f3-v1-x3.mp4`],
    [`${'/'}${ROUTE}${DATA}/fragment-8-f1-a1-x3.m4s?CMCD=bl%3D1#t`, `${DATA}/fragment-8-f1-a1-x3.m4s`],
    [`../../../files/${VIDEO}/r1/text-eng.vtt`, `/files/${VIDEO}/r1/text-eng.vtt`],
  ])('finds %s', (nor, path) => {
    expect(namedNext(request(), nor)).toBe(path)
  })

  it('never leaves the asset, whatever a player names', () => {
    const piece = fc.constantFrom(
      '..',
      '/',
      '.',
      '%2e',
      '%2f',
      '\\',
      ROUTE,
      'o1',
      'dash',
      'files',
      VIDEO,
      OTHER,
      'r1',
      'r2',
      'fragment-8-f1-v1-x3.m4s',
      'http:',
      '//',
      '?',
      '#',
      '@',
      ':',
      ' ',
      '\t',
    )
    const nor = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    )
    fc.assert(
      fc.property(nor, (text) => {
        const path = namedNext(request(), text)
        if (path !== undefined) expect(parseMediaPath(path)).toMatchObject({ videoId: VIDEO, rev: 'r1' })
      }),
      { numRuns: 2000 },
    )
  })
})

describe('numberedNext', () => {
  it.each([`${DATA}/init-f1-v1-x3.mp4`, `/files/${VIDEO}/r1/main.mpd`, `${DATA}/fragment-9999999-f1-v1-x3.m4s`])(
    'is nothing after %s',
    (path) => {
      expect(numberedNext(request(path))).toBeUndefined()
    },
  )

  it('is the following fragment of the same sequence', () => {
    expect(numberedNext(request(`${DATA}/fragment-9-f12-a1-x3.m4s`))).toBe(`${DATA}/fragment-10-f12-a1-x3.m4s`)
  })
})

describe('PrefetchPlan', () => {
  const anything = () => true
  const cmcd = (next: string) => ({ startup: false, starved: false, next })

  it('proposes the same object to no second viewer, for a while', () => {
    let now = 1000
    const plan = new PrefetchPlan({ next: true, now: () => now })
    expect(plan.propose(request(), undefined, anything)).toBe(`${DATA}/fragment-8-f1-v1-x3.m4s`)
    expect(plan.propose(request(), undefined, anything)).toBeUndefined()
    expect(plan.propose(request(undefined, 'o2'), cmcd('fragment-8-f1-v1-x3.m4s'), anything)).toBeUndefined()
    now += 31_000
    expect(plan.propose(request(), undefined, anything)).toBe(`${DATA}/fragment-8-f1-v1-x3.m4s`)
  })

  it('prefers what the player names, and falls back to the number where it names nonsense', () => {
    const plan = new PrefetchPlan({ next: true, now: () => 1 })
    expect(plan.propose(request(), cmcd('fragment-8-f4-v1-x3.m4s'), anything)).toBe(`${DATA}/fragment-8-f4-v1-x3.m4s`)
    expect(plan.propose(request(), cmcd('http://evil.example/'), anything)).toBe(`${DATA}/fragment-8-f1-v1-x3.m4s`)
  })

  it('proposes nothing that this client would not get, and remembers it for nobody', () => {
    const plan = new PrefetchPlan({ next: true, now: () => 1 })
    expect(plan.propose(request(), undefined, (path) => !path.includes('fragment-8'))).toBeUndefined()
    expect(plan.propose(request(), undefined, anything)).toBe(`${DATA}/fragment-8-f1-v1-x3.m4s`)
  })

  it('guesses nothing where it is told not to', () => {
    const plan = new PrefetchPlan({ next: false, now: () => 1 })
    expect(plan.propose(request(), undefined, anything)).toBeUndefined()
    expect(plan.propose(request(), cmcd('fragment-8-f4-v1-x3.m4s'), anything)).toBe(`${DATA}/fragment-8-f4-v1-x3.m4s`)
  })
})
