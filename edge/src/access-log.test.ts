import { expect, it } from 'vitest'
import { redactPath } from './access-log.js'

const mac = 'A'.repeat(43)

it.each([
  [`/o1.o2~v1~1900000000~k1~${mac}/files/x`, '/o1.o2~signed/files/x'],
  [`/o1~v1~1900000000~k1~${mac}`, '/o1~signed'],
  [`//o1~v1~1900000000~k1~${mac}/files/x`, '//o1~signed/files/x'],
  [`/o1%7Ev1%7e1900000000%7Ek1%7E${mac}/files/x`, '/o1~signed/files/x'],
  ['/o1/files/x', '/o1/files/x'],
])('shows no mac of %s', (path, shown) => {
  expect(redactPath(path)).toBe(shown)
})

it('shows the beginning of a long path', () => {
  expect(redactPath(`/${'a'.repeat(9000)}`)).toHaveLength(512)
})
