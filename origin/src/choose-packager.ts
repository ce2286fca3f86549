import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Config } from './config.js'
import { createEmbeddedPackager } from './packager/embedded.js'
import type { Packager } from './packager/packager.js'

/**
 * The packager that the config asks for. `auto` takes the best one that this release can drive.
 *
 * @throws MillraceError `packager-unavailable`
 */
export function choosePackager(config: Pick<Config, 'packager' | 'packagerCache'>, log: Logger): Packager {
  if (config.packager === 'nginx-vod') {
    throw new MillraceError('packager: nginx-vod is not available in this release; set `packager: auto` or `packager: embedded`', {
      code: 'packager-unavailable',
      source: 'client',
      retryable: false,
    })
  }
  const packager = createEmbeddedPackager({ cacheBytes: config.packagerCache })
  log.info({ packager: packager.name, asked: config.packager }, 'packager chosen')
  return packager
}
