import { describe, expect, it } from 'vitest'
import { json } from './json.js'

describe('JSON for the database', () => {
  it('has no NUL and no half characters, and all else as it was', () => {
    expect(JSON.parse(json({ detail: 'a\0b \ud800 c \u{1f600} \\u0000', list: ['\0', 1, null] }))).toEqual({
      detail: 'ab \ufffd c \u{1f600} \\u0000',
      list: ['', 1, null],
    })
  })
})
