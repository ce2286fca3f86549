import type { SourceRef } from '@millrace/common/contracts/transcode-job'
import { MillraceError } from '@millrace/common/errors'
import type { GuardedClient } from '@millrace/common/http/guard'
import { type Dispatcher, request } from 'undici'
import type { Config } from '../config.js'
import type { OpenSource } from './source.js'

/** How a job's reference is resolved: stored sources at the CMS with its token, URLs through the guard. */
export function sourceOpener(
  source: SourceRef,
  config: Pick<Config, 'cms' | 'sources'>,
  guarded: GuardedClient,
  cms: Dispatcher,
): OpenSource {
  if (source.kind === 'url') return async (headers, signal) => (await guarded.get(source.url, headers, signal)).response
  const url = new URL(source.path, config.cms.url)
  return async (headers, signal) => {
    try {
      return await request(url, {
        headers: { ...headers, authorization: `Bearer ${config.cms.token.reveal()}` },
        headersTimeout: config.sources.headersTimeout,
        bodyTimeout: config.sources.bodyTimeout,
        dispatcher: cms,
        signal,
      })
    } catch (error) {
      if (signal.aborted) throw error
      throw new MillraceError(`the CMS at ${url.host} did not answer: ${(error as Error).message}`, {
        code: 'cms-unreachable',
        source: 'transfer',
        retryable: true,
        cause: error,
      })
    }
  }
}
