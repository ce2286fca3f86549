import { parseConfig, readRawConfig } from '@millrace/common/config/load'
import { type Config, configSchema } from '../config.js'

/**
 * A configuration as it stands in its file, which is plain data for other processes, and as it was understood.
 *
 * @throws MillraceError `bad-config` with every problem at once
 */
export function readConfig(path: string): { raw: unknown; config: Config } {
  const raw = readRawConfig(path)
  return { raw, config: parseConfig(configSchema, raw, path) }
}
