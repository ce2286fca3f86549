import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { expect, it } from 'vitest'
import type { Exchange } from '../src/http/exchange.js'
import { head } from '../src/http/head.js'
import { createHttpServer } from '../src/http/uws.js'

const MIB = 1 << 20

it('keeps no more than a chunk of a body of unknown length for a client that reads slowly', async () => {
  const chunk = Buffer.alloc(8 * MIB)
  let exchange: Exchange | undefined
  const server = createHttpServer({
    handle: (taken) => {
      exchange = taken
      void (async () => {
        while (!taken.aborted) await taken.sendChunk(head(200, []), chunk)
      })()
    },
    onOver: () => undefined,
  })
  const { address } = await server.listen({ host: '127.0.0.1', port: 0 })
  let received = 0
  const client = connect(address.port, '127.0.0.1', () => client.write('GET / HTTP/1.1\r\nHost: e\r\n\r\n'))
  client.on('data', (data) => {
    received += data.length
    if (received >= 48 * MIB) client.pause()
  })
  await until('48 MiB', () => received >= 48 * MIB)
  // The kernel's buffers of both ends hold up to 10 MiB.
  expect(exchange!.bytesSent - received).toBeLessThan(24 * MIB)
  client.destroy()
  server.stopListening()
  await server.idle()
})
