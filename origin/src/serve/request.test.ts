import { parseMediaPath } from '@millrace/common/contracts/media-url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readRequest } from './request.js'

const PATH = '/files/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/main.mpd'
const asked = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  readRequest({ method, url, headers, rawHeaders: Object.entries(headers).flat() })

describe('readRequest', () => {
  it.each([
    ['/', 404],
    [`${PATH}/`, 404],
    [`/.${PATH}`, 404],
    [PATH.replace('/r1/', '/r1/../r1/'), 404],
    [PATH.replace('main', '%6dain'), 404],
    [`ftp://host${PATH}`, 404],
    [PATH + 'x'.repeat(9000), 414],
  ])('refuses %s', (url, status) => expect(asked(url)).toMatchObject({ status }))

  it('refuses a body, and closes', () => {
    for (const headers of [{ 'content-length': '1' }, { 'content-length': '00' }, { 'transfer-encoding': 'identity' }]) {
      expect(asked(PATH, headers as unknown as Record<string, string>)).toMatchObject({ status: 400, close: true })
    }
    expect(asked(PATH, { 'content-length': '0' })).toMatchObject({ kind: 'file' })
  })

  it('refuses other methods', () => expect(asked(PATH, {}, 'POST')).toMatchObject({ status: 405 }))

  it.each([PATH, `${PATH}?a=/../b`, `http://h:1${PATH}`, `HTTPS://h${PATH}?x#y`])('finds the path in %s', (url) =>
    expect(asked(url)).toEqual(parseMediaPath(PATH)),
  )

  it('never throws and never lets a path out of its folder, whatever the bytes', () => {
    const piece = fc.constantFrom(
      '/',
      '..',
      '%2f',
      '%2e',
      'files',
      'dash',
      'r1',
      '01hzy3v8k2m4n6p8q0r2s4t6v8',
      'main.mpd',
      '\0',
      '\\',
      '?',
      '//',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
        ),
        (url) => {
          const path = asked(url)
          if ('status' in path || path.kind === 'init' || path.kind === 'fragment') return
          expect(path.name).toMatch(/^[a-z0-9][a-z0-9._-]*$/)
          expect(path.name).not.toContain('..')
        },
      ),
    )
  })
})
