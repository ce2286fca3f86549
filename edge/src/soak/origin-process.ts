import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { type Child, startChild } from '../harness/child.js'

const MAIN = fileURLToPath(new URL('origin-main.js', import.meta.url))

/** An origin that can be killed, and comes back on its port. */
export class OriginProcess {
  readonly port: number
  readonly #options: { folder: string; seed: number }
  #child: Child | undefined

  private constructor(options: { folder: string; seed: number }, port: number) {
    this.#options = options
    this.port = port
  }

  static async start(options: { folder: string; seed: number }): Promise<OriginProcess> {
    const origin = new OriginProcess(options, await freePort())
    await origin.start()
    return origin
  }

  async start(): Promise<void> {
    const args = [MAIN, '--port', String(this.port), '--seed', String(this.#options.seed)]
    const logFile = join(this.#options.folder, 'origins.log')
    this.#child = await startChild({ name: 'origin', command: process.execPath, args, logFile })
    await until('an origin that answers', async () => {
      const { statusCode, body } = await request(`http://127.0.0.1:${this.port}/`)
      await body.dump()
      return statusCode === 404
    })
  }

  /** Whether it is to hang up on nobody. */
  steady(on: boolean): void {
    if (this.#child) process.kill(this.#child.pid, on ? 'SIGUSR2' : 'SIGHUP')
  }

  async kill(): Promise<void> {
    if (!this.#child) return
    process.kill(this.#child.pid, 'SIGKILL')
    await this.#child.exited
  }

  async stop(): Promise<void> {
    await this.#child?.stop()
  }
}
