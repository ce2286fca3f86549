import fc from 'fast-check'
import { expect, test } from 'vitest'
import { languageName, languageOf } from './language.js'

test.each([
  [undefined, 'und'],
  ['', 'und'],
  ['English!', 'und'],
  ['"><script>', 'und'],
  ['ENG', 'eng'],
  ['fre', 'fra'],
  ['pt_BR', 'pt-br'],
])('%s is %s', (tag, expected) => {
  expect(languageOf(tag)).toBe(expected)
})

test.each([
  ['fra', 'Français'],
  ['de', 'Deutsch'],
  ['und', undefined],
  ['qqq', undefined],
])('%s is called %s', (language, expected) => {
  expect(languageName(language)).toBe(expected)
})

test('no tag makes it throw', () => {
  fc.assert(fc.property(fc.string(), (tag) => void languageName(languageOf(tag))))
})
