import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { EventFeed } from '../src/events/feed.js'
import { log } from './fleet.js'

const servers: ReturnType<typeof createServer>[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

describe('the event feed', () => {
  it('that is stopped while it reads a change tells nobody more, and breaks nothing', async () => {
    let loaded: (video: undefined | object) => void = () => undefined
    const feed = new EventFeed({
      maxListeners: 1,
      load: () =>
        new Promise((resolve) => {
          loaded = resolve as typeof loaded
        }),
      log,
    })
    const server = createServer((_request, response) => feed.add(response))
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const errors: Error[] = []
    server.prependListener('request', (_request, response: ServerResponse) => response.on('error', (error) => errors.push(error)))
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    feed.changed('0'.repeat(26))
    const stopped = feed.stop()
    loaded({ id: 'late' })
    await stopped
    expect(await response.text()).toBe('retry: 1000\n\n')
    expect(errors).toEqual([])
    expect(feed.listeners).toBe(0)
  })
})
