import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contentType, formatMediaPath, mediaClass, parseMediaPath } from './media-url.js'

const asset = '01hzy3v8k2m4n6p8q0r2s4t6v8/r1'

describe('a data path', () => {
  it('is refused when it is not canonical', () => {
    const bad = [
      '',
      '/',
      `/files/${asset}/`,
      `/files/${asset}/../x.mp4`,
      `/files/${asset}/..`,
      `/files/${asset}/a..b`,
      `/files/${asset}/%2e%2e`,
      `/files/${asset}/a%2fb`,
      `/files/${asset}/A.mp4`,
      `/files//${asset}/a.vtt`,
      `/files/${asset}/a.vtt?x=1`,
      `/files/${asset}/a.vtt\n`,
      `/files/${asset.replace('r1', 'r0')}/a.vtt`,
      `/files/${asset.replace('r1', 'r01')}/a.vtt`,
      `/dash/${asset}/fragment-0-f1-v1-x3.m4s`,
      `/dash/${asset}/fragment-1-f0-v1-x3.m4s`,
      `/dash/${asset}/fragment-01-f1-v1-x3.m4s`,
      `/dash/${asset}/fragment-1-f1-v2-x3.m4s`,
      `/dash/${asset}/init-f100-v1-x3.mp4`,
      `/files/${asset}/${'a'.repeat(9000)}`,
    ]
    for (const path of bad) expect(parseMediaPath(path), path).toBeUndefined()
  })

  it('round-trips for whatever can be named', () => {
    const id = fc.stringMatching(/^[0-9a-z]{26}$/)
    const rev = fc.integer({ min: 1, max: 999_999_999 }).map((n) => `r${n}`)
    const media = fc.constantFrom('v' as const, 'a' as const)
    const paths = fc.oneof(
      fc.record({ kind: fc.constant('init' as const), videoId: id, rev, sequence: fc.integer({ min: 1, max: 99 }), media }),
      fc.record({
        kind: fc.constant('fragment' as const),
        videoId: id,
        rev,
        sequence: fc.integer({ min: 1, max: 99 }),
        media,
        number: fc.integer({ min: 1, max: 9_999_999 }),
      }),
      fc.record({
        kind: fc.constant('file' as const),
        videoId: id,
        rev,
        name: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}\.(m3u8|vtt|jpg|mp4)$/),
      }),
    )
    fc.assert(
      fc.property(paths, (path) => {
        expect(parseMediaPath(formatMediaPath(path))).toEqual(path)
      }),
    )
  })

  it('never throws and never changes on the way, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webPath(), fc.stringMatching(/^\/(dash|files|hls)\/[0-9a-z/.%-]{0,80}$/)), (text) => {
        const parsed = parseMediaPath(text)
        if (parsed) expect(formatMediaPath(parsed)).toBe(text)
      }),
    )
  })

  it('has one class and one content type', () => {
    const of = (name: string) => {
      const path = parseMediaPath(name)!
      return [mediaClass(path), contentType(path)]
    }
    expect(of(`/dash/${asset}/init-f1-v1-x3.mp4`)).toEqual(['init', 'video/mp4'])
    expect(of(`/dash/${asset}/fragment-3-f2-a1-x3.m4s`)).toEqual(['segment', 'audio/mp4'])
    expect(of(`/files/${asset}/main.m3u8`)).toEqual(['playlist', 'application/vnd.apple.mpegurl'])
    expect(of(`/files/${asset}/main.mpd`)).toEqual(['playlist', 'application/dash+xml'])
    expect(of(`/files/${asset}/text-eng.vtt`)).toEqual(['text', 'text/vtt'])
    expect(of(`/files/${asset}/poster.jpg`)).toEqual(['image', 'image/jpeg'])
    expect(of(`/files/${asset}/video-720p.mp4`)).toEqual(['download', 'video/mp4'])
  })
})
