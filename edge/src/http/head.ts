import { STATUS_CODES } from 'node:http'
import type { HeaderField } from '../cache/entry-meta.js'
import type { ResponseHead } from './exchange.js'

type Fields = readonly (readonly [name: string, value: string])[]

/** Fields as they stand in a head: each after a CRLF. Values come from origins, so what would end a line is taken out (RFC 9110 §5.5). */
export function renderFields(fields: Fields): string {
  let text = ''
  for (const [name, value] of fields) text += `\r\n${name}: ${sanitise(value)}`
  return text
}

/** @param rendered fields that `renderFields` made, of which nothing is checked again */
export function renderHead(status: number, rendered: string): ResponseHead {
  const text = `${status} ${STATUS_CODES[status] ?? 'Unknown'}${rendered}`
  // The server would write a string as UTF-8: bytes beyond ASCII, which came as one character each, would be two.
  return { status, text: /[\x80-\xff]/.test(rendered) ? Buffer.from(text, 'latin1') : text }
}

export function head(status: number, fields: Fields): ResponseHead {
  return renderHead(status, renderFields(fields))
}

function sanitise(value: string): string {
  return /[^\t\x20-\x7e\x80-\xff]/.test(value) ? value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '') : value
}

export type { HeaderField }
