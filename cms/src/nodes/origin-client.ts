import { setTimeout as delay } from 'node:timers/promises'
import {
  type AssetDetail,
  assetDetailSchema,
  type Operation,
  type OriginStatus,
  operationSchema,
  originStatusSchema,
  type PullRequest,
  type VideoHoldings,
  videoHoldingsSchema,
} from '@millrace/common/contracts/origin-api'
import { fromErrorBody } from '@millrace/common/errors'
import { call } from '@millrace/common/http/client'
import type { Dispatcher } from 'undici'
import type { OriginConfig } from '../config.js'

const TIMEOUT_MS = 10_000
const POLL_MS = 500

/** The control API of the origins, as the CMS uses it. */
export class OriginClient {
  readonly #token: string
  readonly #dispatcher: Dispatcher

  constructor(token: string, dispatcher: Dispatcher) {
    this.#token = token
    this.#dispatcher = dispatcher
  }

  status(origin: OriginConfig, timeoutMs: number): Promise<OriginStatus> {
    return call(`${origin.controlUrl}/v1/status`, { ...this.#base(), timeoutMs, schema: originStatusSchema })
  }

  asset(origin: OriginConfig, videoId: string, rev: string): Promise<AssetDetail> {
    return call(`${origin.controlUrl}/v1/assets/${videoId}/${rev}`, { ...this.#base(), schema: assetDetailSchema })
  }

  holdings(origin: OriginConfig, videoId: string): Promise<VideoHoldings> {
    return call(`${origin.controlUrl}/v1/videos/${videoId}`, { ...this.#base(), schema: videoHoldingsSchema })
  }

  async remove(origin: OriginConfig, videoId: string, rev: string): Promise<void> {
    await call(`${origin.controlUrl}/v1/assets/${videoId}/${rev}`, { ...this.#base(), method: 'DELETE' })
  }

  /** Has an origin fetch a revision from a sibling; resolves when it is verified and visible there. */
  async pull(origin: OriginConfig, videoId: string, rev: string, request: PullRequest, signal: AbortSignal): Promise<void> {
    let operation: Operation = await call(`${origin.controlUrl}/v1/assets/${videoId}/${rev}/pull`, {
      ...this.#base(),
      method: 'POST',
      body: request,
      schema: operationSchema,
      signal,
    })
    while (operation.state === 'running') {
      await delay(POLL_MS, undefined, { signal })
      operation = await call(`${origin.controlUrl}/v1/operations/${operation.id}`, { ...this.#base(), schema: operationSchema, signal })
    }
    if (operation.state === 'failed') {
      throw fromErrorBody(operation.error ?? { code: 'pull-failed', source: 'origin', retryable: true, message: 'the pull failed' })
    }
  }

  #base() {
    return { token: this.#token, timeoutMs: TIMEOUT_MS, dispatcher: this.#dispatcher }
  }
}
