/** What bee-queue's own Redis client understands; it silently ignores an ioredis instance. */
export interface PlainRedisOptions {
  host: string
  port: number
  db: number
  user?: string
  password?: string
  tls?: Record<string, never>
}

/** `redis://[user]:password@host:port/db`, `rediss://` for TLS. */
export function plainRedisOptions(url: string): PlainRedisOptions {
  const parsed = new URL(url)
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? 6379 : Number(parsed.port),
    db: Number(parsed.pathname.slice(1) || 0),
    ...(parsed.username && { user: decodeURIComponent(parsed.username) }),
    ...(parsed.password && { password: decodeURIComponent(parsed.password) }),
    ...(parsed.protocol === 'rediss:' && { tls: {} }),
  }
}
