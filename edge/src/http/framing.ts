/** What of a request's head the edge reads for itself. Of several lines of one name the first counts, but those of `forwarded` and `forwardedFor` are joined. */
export class RequestHeaders {
  range: string | undefined
  ifRange: string | undefined
  ifMatch: string | undefined
  ifNoneMatch: string | undefined
  ifModifiedSince: string | undefined
  ifUnmodifiedSince: string | undefined
  acceptEncoding: string | undefined
  requestId: string | undefined
  traceparent: string | undefined
  forwarded: string | undefined
  forwardedFor: string | undefined
  cmcdRequest: string | undefined
  cmcdObject: string | undefined
  cmcdSession: string | undefined
  cmcdStatus: string | undefined
}

const NONE: RequestHeaders = Object.freeze(new RequestHeaders())

/**
 * Reads a request's header lines one by one: keeps what the edge uses, and judges whether the request's end is beyond doubt. The server
 * underneath takes two Content-Lengths, odd transfer codings and two Hosts, and would run what follows as a request (request smuggling,
 * RFC 9112 §11.2).
 */
export class HeadReader {
  /** Of requests that have none of these fields all the same one, which nobody may write to. */
  headers: RequestHeaders = NONE
  /** Why the request's end is in doubt. */
  problem: string | undefined
  hasBody = false
  #lengths = 0
  #codings = 0
  #hosts = 0

  /** Starts on another request. */
  reset(): void {
    this.headers = NONE
    this.problem = undefined
    this.hasBody = false
    this.#lengths = 0
    this.#codings = 0
    this.#hosts = 0
  }

  /** `name` in lower case. By length first: most names are none of these, and this runs for each line of each request. */
  add(name: string, value: string): void {
    switch (name.length) {
      case 4:
        // RFC 9112 §3.2: a server MUST respond with 400 to a request that contains more than one Host field line.
        if (name === 'host' && ++this.#hosts > 1) this.problem = 'more than one Host'
        return
      case 5:
        if (name === 'range') this.#keep('range', value)
        return
      case 8:
        if (name === 'if-range') this.#keep('ifRange', value)
        else if (name === 'if-match') this.#keep('ifMatch', value)
        return
      case 9:
        if (name === 'forwarded') this.#join('forwarded', value)
        return
      case 11:
        if (name === 'traceparent') this.#keep('traceparent', value)
        else if (name === 'cmcd-object') this.#keep('cmcdObject', value)
        else if (name === 'cmcd-status') this.#keep('cmcdStatus', value)
        return
      case 12:
        if (name === 'x-request-id') this.#keep('requestId', value)
        else if (name === 'cmcd-request') this.#keep('cmcdRequest', value)
        else if (name === 'cmcd-session') this.#keep('cmcdSession', value)
        return
      case 13:
        if (name === 'if-none-match') this.#keep('ifNoneMatch', value)
        return
      case 14:
        if (name === 'content-length') this.#length(value)
        return
      case 15:
        if (name === 'accept-encoding') this.#keep('acceptEncoding', value)
        else if (name === 'x-forwarded-for') this.#join('forwardedFor', value)
        return
      case 17:
        if (name === 'if-modified-since') this.#keep('ifModifiedSince', value)
        else if (name === 'transfer-encoding') this.#coding(value)
        return
      case 19:
        if (name === 'if-unmodified-since') this.#keep('ifUnmodifiedSince', value)
    }
  }

  #keep(name: keyof RequestHeaders, value: string): void {
    if (this.headers === NONE) this.headers = new RequestHeaders()
    this.headers[name] ??= value
  }

  /** RFC 9110 §5.3: lines of a list count as one, in order. What a trusted hop added stands at its end, be it in a line of its own. */
  #join(name: 'forwarded' | 'forwardedFor', value: string): void {
    const before = this.headers[name]
    if (before === undefined) this.#keep(name, value)
    else this.headers[name] = `${before}, ${value}`
  }

  #length(value: string): void {
    // RFC 9112 §6.3: several or unreadable values "MUST be treated as an unrecoverable error".
    if (++this.#lengths > 1 || this.#codings > 0 || !/^\d{1,15}$/.test(value)) this.problem = 'its length is in doubt'
    else if (Number(value) > 0) this.hasBody = true
  }

  #coding(value: string): void {
    if (++this.#codings > 1 || this.#lengths > 0 || value.toLowerCase() !== 'chunked') this.problem = 'its transfer coding is in doubt'
    this.hasBody = true
  }
}
