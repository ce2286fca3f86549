import type { IncomingMessage } from 'node:http'
import { refused } from '../refusal.js'

export interface BodyLimits {
  maxBytes: number
  timeoutMs: number
}

/**
 * A request's body as JSON, of bounded size and time.
 *
 * @throws MillraceError `body-too-large` (413), `body-too-slow` (408), `body-incomplete` or `bad-json` (400).
 */
export async function readJson(request: IncomingMessage, { maxBytes, timeoutMs }: BodyLimits): Promise<unknown> {
  const text = (await readBytes(request, maxBytes, timeoutMs)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    throw refused(400, 'bad-json', 'the body is not JSON')
  }
}

function readBytes(request: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const end = (settle: () => void) => {
      clearTimeout(limit)
      // What still comes flows away unread: a connection that is closed over unread bytes may lose the answer.
      request.removeListener('data', take)
      request.resume()
      settle()
    }
    const take = (chunk: Buffer) => {
      length += chunk.length
      if (length > maxBytes) end(() => reject(refused(413, 'body-too-large', `the body is larger than ${maxBytes} bytes`)))
      else chunks.push(chunk)
    }
    const limit = setTimeout(() => end(() => reject(refused(408, 'body-too-slow', `the body was not here in ${timeoutMs} ms`))), timeoutMs)
    request.on('data', take)
    request.once('end', () => end(() => resolve(Buffer.concat(chunks))))
    // The client left; after the end it says nothing.
    request.once('close', () => end(() => reject(refused(400, 'body-incomplete', 'the body ended early'))))
  })
}
