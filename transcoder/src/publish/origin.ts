import { setTimeout as delay } from 'node:timers/promises'
import { operationSchema } from '@millrace/common/contracts/origin-api'
import type { OriginTarget } from '@millrace/common/contracts/transcode-job'
import { fromErrorBody, MillraceError } from '@millrace/common/errors'
import { call } from '@millrace/common/http/client'
import { retry } from '@millrace/common/http/retry'
import { runChild } from '../child.js'
import type { Config } from '../config.js'
import { parseRsyncProgress, rsyncArgs, rsyncFailure } from './rsync-args.js'

/** A finished asset on this host. */
export interface Parcel {
  videoId: string
  rev: string
  folder: string
  files: string[]
  assetSha256: string
}

/** What publishing needs of one origin. */
export interface OriginClient {
  /** Brings the parcel there and has it committed. @param onBytes how many bytes are there so far. */
  deliver(origin: OriginTarget, parcel: Parcel, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<void>
  /** Deletes a revision there, staged or committed. */
  withdraw(origin: OriginTarget, videoId: string, rev: string): Promise<void>
}

const FIRST_POLL_MS = 50
const LONGEST_POLL_MS = 2000
const WITHDRAW_TIMEOUT_MS = 3000
/** Verdicts on bytes that arrived: sending them again, looked into this time, may mend them. */
const MENDABLE = new Set(['missing-file', 'wrong-size', 'wrong-hash', 'bad-asset-json'])

export function createOriginClient(config: Config['publish']): OriginClient {
  const callOptions = { token: config.controlToken.reveal(), timeoutMs: config.callTimeout }

  const transfer = async (
    origin: OriginTarget,
    parcel: Parcel,
    suspicious: boolean,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ) => {
    const args = rsyncArgs({
      rsyncUrl: origin.rsyncUrl,
      user: config.rsync.user,
      videoId: parcel.videoId,
      rev: parcel.rev,
      files: parcel.files,
      connectTimeoutMs: config.connectTimeout,
      silenceTimeoutMs: config.silenceTimeout,
      bandwidthLimit: config.bandwidthLimit,
      suspicious,
    })
    const result = await runChild(config.rsync.path, args, {
      cwd: parcel.folder,
      env: { RSYNC_PASSWORD: config.rsync.secret.reveal(), LC_ALL: 'C' },
      signal,
      onLine: (line) => {
        const bytes = parseRsyncProgress(line)
        if (bytes !== undefined) onBytes(bytes)
      },
    })
    if (result.exitCode === 0) return
    throw new MillraceError(`rsync to ${origin.id} failed with exit code ${result.exitCode}`, {
      ...rsyncFailure(result.exitCode, result.stderr),
      source: 'transfer',
      detail: result.stderr,
    })
  }

  const commit = async (origin: OriginTarget, parcel: Parcel, signal: AbortSignal) => {
    const url = new URL(`/v1/assets/${parcel.videoId}/${parcel.rev}/commit`, origin.controlUrl).href
    const start = () =>
      call(url, { ...callOptions, method: 'POST', body: { version: 1, assetSha256: parcel.assetSha256 }, schema: operationSchema, signal })
    const end = Date.now() + config.commitTimeout
    let operation = await start()
    for (let wait = FIRST_POLL_MS; operation.state === 'running'; wait = Math.min(LONGEST_POLL_MS, wait * 2)) {
      if (Date.now() > end) throw timedOut(origin, config.commitTimeout)
      await delay(wait, undefined, { signal })
      try {
        operation = await call(new URL(`/v1/operations/${encodeURIComponent(operation.id)}`, origin.controlUrl).href, {
          ...callOptions,
          schema: operationSchema,
          signal,
        })
      } catch (error) {
        // Its agent was started anew and has forgotten the operation: committing again is idempotent.
        if (!(error instanceof MillraceError) || error.status !== 404) throw error
        operation = await start()
      }
    }
    if (operation.state === 'failed') throw operation.error ? fromErrorBody(operation.error) : refused(origin)
  }

  return {
    async deliver(origin, parcel, signal, onBytes) {
      let suspicious = false
      await retry({ attempts: config.attempts, firstDelayMs: 500, maxDelayMs: 10_000, signal }, async () => {
        await transfer(origin, parcel, suspicious, signal, onBytes)
        try {
          await commit(origin, parcel, signal)
        } catch (error) {
          if (!(error instanceof MillraceError) || !MENDABLE.has(error.code)) throw error
          suspicious = true
          throw new MillraceError(error.message, { ...fieldsOf(error), retryable: true })
        }
      })
    },
    async withdraw(origin, videoId, rev) {
      const url = new URL(`/v1/assets/${videoId}/${rev}`, origin.controlUrl).href
      await call(url, { ...callOptions, timeoutMs: Math.min(WITHDRAW_TIMEOUT_MS, config.callTimeout), method: 'DELETE' })
    },
  }
}

function fieldsOf(error: MillraceError) {
  return { code: error.code, source: error.source, cause: error, ...(error.detail !== undefined && { detail: error.detail }) }
}

function timedOut(origin: OriginTarget, timeoutMs: number): MillraceError {
  return new MillraceError(`${origin.id} did not finish its commit within ${timeoutMs} ms`, {
    code: 'commit-timeout',
    source: 'origin',
    retryable: true,
  })
}

function refused(origin: OriginTarget): MillraceError {
  return new MillraceError(`${origin.id} refused the asset without a reason`, { code: 'commit-failed', source: 'origin', retryable: true })
}
