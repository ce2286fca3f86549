import { parseConfig, readRawConfig } from '@millrace/common/config/load'
import { type Config, configSchema } from '../config.js'

/** A configuration that was read once: as plain data, which other processes get, and as it was understood. */
export interface ReadConfig {
  /** With the secrets themselves in the place of their files, so that who gets it later doesn't get others. */
  raw: Record<string, unknown>
  config: Config
}

/** @throws MillraceError `bad-config` with every problem at once */
export function readConfig(path: string): ReadConfig {
  const raw = readRawConfig(path)
  const config = parseConfig(configSchema, raw, path)
  return { raw: withSecrets(raw as Record<string, unknown>, config), config }
}

function withSecrets(raw: Record<string, unknown>, { admin, routes }: Config): Record<string, unknown> {
  const next: Record<string, unknown> = { ...raw }
  if (admin.token) next.admin = { ...(raw.admin as object), token: admin.token.reveal() }
  const keys = Object.entries(routes.keys).map(([id, key]) => [id, key.reveal()])
  if (keys.length > 0) next.routes = { ...(raw.routes as object), keys: Object.fromEntries(keys) }
  return next
}
