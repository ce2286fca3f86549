import { MillraceError } from '@millrace/common/errors'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTarget } from './target.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

function refusal(path: string): [number, string] | undefined {
  try {
    parseTarget(path)
    return undefined
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return [error.status, error.code]
  }
}

describe('parseTarget', () => {
  it.each([
    ['', 404, 'not-found'],
    ['/', 404, 'not-found'],
    ['/o1', 404, 'not-found'],
    [`/o1/files/${VIDEO}/r1`, 404, 'not-found'],
    [`/o1/admin/${VIDEO}/r1/main.mpd`, 404, 'not-found'],
    [`//files/${VIDEO}/r1/main.mpd`, 400, 'bad-path'],
    [`/o1/files/${VIDEO}/r1/../main.mpd`, 400, 'bad-path'],
    [`/o1/files/${VIDEO}/r1/main%2empd`, 400, 'bad-path'],
    [`/o1/files/${VIDEO}/r1/mäin.mpd`, 400, 'bad-path'],
    [`/o.1./files/${VIDEO}/r1/main.mpd`, 400, 'bad-route'],
    [`/o1~v2~1~k~m/files/${VIDEO}/r1/main.mpd`, 400, 'bad-route'],
    [`/o1/${'a'.repeat(3000)}`, 414, 'uri-too-long'],
  ])('refuses %s with %i %s', (path, status, code) => {
    expect(refusal(path)).toEqual([status, code])
  })

  it('splits route and canonical data path', () => {
    expect(parseTarget(`/o1.o3/files/${VIDEO}/r12/main.m3u8`)).toEqual({
      route: { origins: ['o1', 'o3'] },
      path: `/files/${VIDEO}/r12/main.m3u8`,
      media: { kind: 'file', videoId: VIDEO, rev: 'r12', name: 'main.m3u8' },
    })
  })

  it('answers anything with a target or a 4xx, and never a path that could leave its folder', () => {
    const piece = fc.oneof(fc.string(), fc.constantFrom('/', '..', 'o1', 'files', VIDEO, 'r1', 'main.mpd', '%2f', '~v1~', '.', '\\', '\0'))
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const path = `/${pieces.join('')}`
        const refused = refusal(path)
        if (refused) expect(refused[0]).toSatisfy((status: number) => status >= 400 && status < 500)
        else expect(parseTarget(path).path).toMatch(/^\/(dash|files|hls)\/[0-9a-z]{26}\/r[0-9]+\/[a-z0-9][a-z0-9._-]*$/)
      }),
    )
  })
})
