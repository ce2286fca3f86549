import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { Answer } from './edge.js'

/** One viewer with one connection, which therefore stays with one worker. */
export class Viewer {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  /** Of its end of the connection, at the last answer. */
  localPort = 0

  constructor(port: number) {
    this.#port = port
  }

  /** The process that has the other end of its connection, out of these. */
  worker(pids: readonly number[]): number | undefined {
    return ownerOf(this.#port, this.localPort, pids)
  }

  async get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
    const response = await this.open(path, headers, method)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    return { status: response.statusCode!, headers: response.headers as IncomingHttpHeaders, body: Buffer.concat(chunks) }
  }

  /** An answer whose body is still to be read. */
  open(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: this.#port, method, path, headers, agent: this.#agent }, (response) => {
        this.localPort = response.socket.localPort!
        resolve(response)
      })
      sent.on('error', reject)
      sent.end()
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** One viewer at each worker. The kernel spreads connections, so some have to be tried. */
export async function viewerOfEach(port: number, workers: readonly number[]): Promise<Viewer[]> {
  const found = new Map<number, Viewer>()
  for (let tries = 0; found.size < workers.length; tries++) {
    if (tries === 200) throw new Error(`only ${found.size} of ${workers.length} workers answer`)
    const viewer = new Viewer(port)
    await viewer.get('/')
    const pid = viewer.worker(workers)
    if (pid === undefined || found.has(pid)) viewer.close()
    else found.set(pid, viewer)
  }
  return workers.map((pid) => found.get(pid)!)
}

/** Which process has the socket of a local connection between these ports, by proc_net(5). */
function ownerOf(port: number, peerPort: number, pids: readonly number[]): number | undefined {
  const hex = (number: number) => number.toString(16).toUpperCase().padStart(4, '0')
  const line = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((text) => text.trim().split(/\s+/))
    .find(([, local, remote]) => local?.endsWith(`:${hex(port)}`) && remote?.endsWith(`:${hex(peerPort)}`))
  const inode = line?.[9]
  return pids.find((pid) => readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`))
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    // Closed while it was looked at.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
