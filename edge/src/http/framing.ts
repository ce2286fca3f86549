import type { RequestHeaders } from './exchange.js'

const READ: Readonly<Record<string, keyof RequestHeaders>> = {
  range: 'range',
  'if-range': 'ifRange',
  'if-none-match': 'ifNoneMatch',
  'if-modified-since': 'ifModifiedSince',
}

/**
 * Reads a request's header lines one by one: keeps what the edge uses, and judges whether the request's end is beyond doubt. The server
 * underneath takes two Content-Lengths, odd transfer codings and two Hosts, and would run what follows as a request (request smuggling,
 * RFC 9112 §11.2), while nothing that the edge serves has a body: so anything but one `Content-Length: 0` is refused.
 */
export class HeadReader {
  readonly headers: RequestHeaders = {}
  problem: string | undefined
  #lengths = 0
  #hosts = 0

  /** `name` in lower case. */
  add(name: string, value: string): void {
    const wanted = READ[name]
    if (wanted !== undefined) {
      this.headers[wanted] ??= value
    } else if (name === 'content-length') {
      if (++this.#lengths > 1 || value.trim() !== '0') this.problem = 'a request body is not taken here'
    } else if (name === 'transfer-encoding') {
      this.problem = 'a request body is not taken here'
    } else if (name === 'host' && ++this.#hosts > 1) {
      // RFC 9112 §3.2: a server MUST respond with 400 to a request that contains more than one Host field line.
      this.problem = 'more than one Host'
    }
  }
}
