import fc from 'fast-check'
import { expect, test } from 'vitest'
import { looksLikeHtml, rangeStart } from './source.js'

test.each(['<!DOCTYPE html><html>', '  \n<html lang="en">', '<!-- hello -->\n<HEAD>', '\xef\xbb\xbf<!doctype html>'])(
  '%j starts a web page',
  (start) => {
    expect(looksLikeHtml(start)).toBe(true)
  },
)

test.each(['', '\0\0\0\x20ftypisom', '<?xml version="1.0"?><MPD>', '<htmlish', 'RIFF'])('%j doesn’t', (start) => {
  expect(looksLikeHtml(start)).toBe(false)
})

test.each(['', 'bytes */200', 'bytes 5-', 'bits 5-9/10', 'bytes -5-9/10'])('%j names no first byte', (header) => {
  expect(rangeStart(header)).toBeNaN()
})

test('a range’s first byte is read back', () => {
  fc.assert(fc.property(fc.nat(), fc.nat(), (from, to) => rangeStart(`bytes ${from}-${to}/*`) === from))
})
