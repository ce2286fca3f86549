import uws from 'uWebSockets.js'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { Exchange } from './exchange.js'
import { HeadReader } from './framing.js'
import { head } from './head.js'
import { withPrivateFiles } from './private-files.js'
import type { TlsPem } from './tls.js'
import { type ServerState, UwsExchange } from './uws-exchange.js'

export interface HttpServerOptions {
  /** Must not throw; may answer at once or later. */
  handle: (exchange: Exchange) => void
  /** Told once of every exchange, when its answer is whole or given up. */
  onOver: (exchange: Exchange) => void
}

export interface HttpServer {
  /** Listens on one more address; with `tls` for HTTPS, with `redirect` to send everybody to HTTPS on that port. Another process of the edge may listen on the same port. */
  listen: (address: ListenAddress, tls?: TlsPem, redirect?: { port: number }) => Promise<Listener>
  /** Takes no further connections; answers from now on ask clients to close theirs. */
  stopListening: () => void
  readonly running: number
  /** Resolves when no exchange is running. */
  idle: () => Promise<void>
}

export interface Listener {
  readonly address: ListenAddress
  /**
   * Prepares for another certificate. What it returns puts it into force: new connections get it, those that are there go on with theirs. A
   * second listener takes the port before the first one lets go of it: this build crashes when a running one's certificate is changed.
   *
   * @throws MillraceError `tls-bad-pair`; what it returns `listen-failed`, after which the old one is in force as before
   */
  renewal: (tls: TlsPem) => () => Promise<void>
}

/** Upstream calls this `us_listen_socket_close`. */
const closeListenSocket = uws.closeSocket
/** Upstream calls this `us_socket_local_port`. */
const portOf = uws.getSocketPort

/** With uws-exchange.ts the only file that knows uWebSockets.js. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const state: ServerState = { draining: false, running: 0, idle: undefined, onOver: options.onOver }
  const reader = new HeadReader()
  const sockets = new Set<uws.us_listen_socket>()

  const serving = (app: uws.TemplatedApp, redirect?: { port: number }): uws.TemplatedApp =>
    app.any('/*', (res, req) => {
      const exchange = new UwsExchange(state, res, req, reader)
      if (redirect) redirectToHttps(exchange, req.getHeader('host'), redirect.port)
      else options.handle(exchange)
      exchange.handled()
    })
  const open = async (address: ListenAddress, app: uws.TemplatedApp): Promise<uws.us_listen_socket> => {
    const socket = await new Promise<uws.us_listen_socket | false>((resolve) => app.listen(address.host, address.port, resolve))
    if (!socket) {
      throw new MillraceError(`cannot listen on ${address.host}:${address.port}`, {
        code: 'listen-failed',
        source: 'internal',
        retryable: true,
      })
    }
    sockets.add(socket)
    return socket
  }
  const close = (socket: uws.us_listen_socket) => {
    if (sockets.delete(socket)) closeListenSocket(socket)
  }

  return {
    listen: async (address, tls, redirect) => {
      let socket = await open(address, serving(tls ? secureApp(tls) : uws.App(), redirect))
      const bound = { host: address.host, port: portOf(socket) }
      return {
        address: bound,
        renewal: (renewed) => {
          const app = serving(secureApp(renewed), redirect)
          return async () => {
            const next = await open(bound, app)
            close(socket)
            socket = next
          }
        },
      }
    },
    stopListening: () => {
      state.draining = true
      for (const socket of [...sockets]) close(socket)
    },
    get running() {
      return state.running
    },
    idle: () => (state.running === 0 ? Promise.resolve() : new Promise((resolve) => (state.idle = resolve))),
  }
}

/** Reads its files before it returns. TLS 1.2 is the least that this build speaks. */
function secureApp(pem: TlsPem): uws.TemplatedApp {
  return withPrivateFiles(pem, ({ cert, key }) => {
    try {
      return uws.SSLApp({ cert_file_name: cert, key_file_name: key, ssl_prefer_low_memory_usage: false })
    } catch (error) {
      // It says no more than that it can't.
      const message = 'the HTTP server does not take the certificate or its key'
      throw new MillraceError(message, { code: 'tls-bad-pair', source: 'client', retryable: false, cause: error })
    }
  })
}

/** RFC 9110 §15.4.9: 308, the same method and URL at the secure port. Only a host that is one goes into the answer. */
function redirectToHttps(exchange: UwsExchange, host: string, port: number): void {
  const name = /^([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?$/i.exec(host)?.[1]
  exchange.decision = { phase: 'refused', class: 'none', tier: 'edge' }
  if (name === undefined || exchange.badFraming !== undefined || exchange.hasBody) {
    exchange.answer(head(400, []), '', { close: true })
    return
  }
  const target = `${exchange.path}${exchange.query === '' ? '' : `?${exchange.query}`}`
  exchange.answer(head(308, [['location', `https://${name}${port === 443 ? '' : `:${port}`}${target}`]]), '')
}
