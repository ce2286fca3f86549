/** What of a request goes on to the origin, so that both sides' logs can be told to belong together. */
export interface Trace {
  requestId: string
  /** W3C Trace Context. */
  traceparent?: string
}
