/** What is measured: a running server with all its processes. */
export interface Server {
  name: ServerName
  port: number
  /** Absent where it speaks no TLS. */
  tlsPort?: number
  /** Serves the same from the throttled origin. */
  slowPort?: number
  /** The request target for a data path. */
  target: (dataPath: string) => string
  pids: () => number[]
  stop: () => Promise<unknown>
}

export type ServerName = 'nginx' | 'varnish' | 'edge' | 'edge (disk)'
