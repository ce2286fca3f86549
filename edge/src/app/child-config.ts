import { parseConfig } from '@millrace/common/config/load'
import { z } from 'zod'
import { type Config, configSchema } from '../config.js'
import { checkTlsPair, loadTlsPair, type TlsPair } from '../http/tls.js'

/** What one process of an edge works by. */
export interface InForce {
  config: Config
  /** Where the configuration has `tls`. */
  pair: TlsPair | undefined
}

const childConfigSchema = z.object({
  raw: z.unknown(),
  pem: z.object({ cert: z.string(), key: z.string() }).optional(),
})
/** The same as plain data for other processes. A child reads neither secrets nor certificates itself: it would find those of its own time. */
export type ChildConfig = z.output<typeof childConfigSchema>

/** @throws MillraceError `tls-bad-pair` */
export async function pairOf({ tls }: Config, now: number): Promise<TlsPair | undefined> {
  return tls && loadTlsPair(tls, now)
}

/** @throws MillraceError `bad-config`, `tls-bad-pair` */
export function readChildConfig(given: unknown, now: number): InForce {
  const { raw, pem } = childConfigSchema.parse(given)
  const config = parseConfig(configSchema, raw)
  return { config, pair: config.tls && pem && checkTlsPair(pem, config.tls, now) }
}
