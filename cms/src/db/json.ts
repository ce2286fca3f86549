/**
 * A value as JSON that PostgreSQL's jsonb takes: it refuses NUL and lone surrogates, which the last words of a child process may hold.
 */
export function json(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? storable(part) : part))
}

function storable(text: string): string {
  return text.replaceAll('\0', '').replace(/\p{Surrogate}/gu, '\ufffd')
}
