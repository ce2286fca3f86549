import { chmod, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import { bound } from '@millrace/common/process'
import { ifPresent } from '../assets/durable.js'
import { greets } from './greeting.js'
import { daemonArgs, type RsyncdSettings, renderRsyncdConf, renderSecrets } from './render-conf.js'

const START_TIMEOUT_MS = 10_000
const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 30_000
/** A daemon that lived this long starts its backoff anew. */
const STEADY_MS = 60_000

export interface RsyncdOptions {
  folder: string
  listen: ListenAddress
  settings: Omit<RsyncdSettings, 'secretsFile' | 'lockFile' | 'logFile'>
  accounts: { user: string; password: string }[]
  log: Logger
  onRestart: () => void
}

/** The rsync daemon as a child: started, watched, started again with growing pauses when it dies. */
export class Rsyncd {
  readonly #options: RsyncdOptions
  readonly #stopping = new AbortController()
  readonly address: ListenAddress
  #supervisor: Promise<void> = Promise.resolve()
  #lastError = ''

  private constructor(options: RsyncdOptions, address: ListenAddress) {
    this.#options = options
    this.address = address
  }

  /** @throws MillraceError `rsyncd-failed` when it doesn't answer within ten seconds, `address-in-use`. */
  static async start(options: RsyncdOptions): Promise<Rsyncd> {
    const daemon = new Rsyncd(options, { host: options.listen.host, port: await claimPort(options.listen) })
    await writeFiles(options)
    daemon.#supervisor = daemon.#supervise()
    const end = Date.now() + START_TIMEOUT_MS
    while (await daemon.problem()) {
      if (Date.now() > end) {
        await daemon.stop()
        throw new MillraceError(`the rsync daemon does not answer on ${daemon.address.host}:${daemon.address.port}`, {
          code: 'rsyncd-failed',
          source: 'internal',
          retryable: false,
          detail: daemon.#lastError,
        })
      }
      await delay(20)
    }
    return daemon
  }

  /** Why it can't take transfers now; undefined when it can. */
  async problem(): Promise<string | undefined> {
    if (await greets(this.address, 1000)) return undefined
    return `rsync daemon does not answer${this.#lastError && `: ${this.#lastError}`}`
  }

  /** Cuts the log when it has grown long: the daemon appends, so it goes on at the new end. */
  async trimLog(): Promise<void> {
    const path = join(this.#options.folder, LOG)
    const size = (await ifPresent(stat(path)))?.size ?? 0
    if (size > MAX_LOG_BYTES) await truncate(path)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#supervisor
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping
    let backoff = FIRST_BACKOFF_MS
    while (!signal.aborted) {
      const started = Date.now()
      this.#lastError = await this.#run(signal)
      if (signal.aborted) return
      if (Date.now() - started > STEADY_MS) backoff = FIRST_BACKOFF_MS
      this.#options.log.error({ reason: this.#lastError, backoffMs: backoff }, 'rsync daemon died')
      this.#options.onRestart()
      await delay(backoff, undefined, { signal }).catch(() => undefined)
      backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)
    }
  }

  /** @returns its last words. */
  async #run(signal: AbortSignal): Promise<string> {
    const child = bound('rsync', daemonArgs(join(this.#options.folder, CONF), this.address), {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      maxBuffer: 16_384,
      reject: false,
      cancelSignal: signal,
      forceKillAfterDelay: 2000,
    })
    const result = await child
    return result.stderr.trim().split('\n').at(-1) || `it ended with ${result.exitCode ?? result.signal ?? 'an error'}`
  }
}

const CONF = 'rsyncd.conf'
const SECRETS = 'rsyncd.secrets'
const LOG = 'rsyncd.log'
const MAX_LOG_BYTES = 16 * 2 ** 20

async function writeFiles(options: RsyncdOptions): Promise<void> {
  const { folder, settings, accounts } = options
  await replaceFile(join(folder, SECRETS), renderSecrets(accounts), 0o600)
  const files = { secretsFile: join(folder, SECRETS), lockFile: join(folder, 'rsyncd.lock'), logFile: join(folder, LOG) }
  await replaceFile(join(folder, CONF), renderRsyncdConf({ ...settings, ...files }), 0o644)
}

/** The daemon reads these at every connection: it must never see half of one. */
async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const fresh = `${path}.new`
  await rm(fresh, { force: true })
  await writeFile(fresh, text, { mode, flag: 'wx' })
  await chmod(fresh, mode)
  await rename(fresh, path)
}

/**
 * The port, or a free one for 0. Taken for a moment, because somebody else's daemon on it would answer in the place of ours.
 *
 * @throws MillraceError `address-in-use`
 */
async function claimPort({ host, port }: ListenAddress): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  }).catch((cause: Error) => {
    const message = `the rsync daemon can't have ${host}:${port}: ${cause.message}`
    throw new MillraceError(message, { code: 'address-in-use', source: 'internal', retryable: false, cause })
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : port
}
