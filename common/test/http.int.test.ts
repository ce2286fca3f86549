import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { MillraceError } from '../src/errors.js'
import { call } from '../src/http/client.js'
import { addressAllowed, GuardedClient } from '../src/http/guard.js'
import { retry } from '../src/http/retry.js'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const guard = (allowPrivate: string[]) =>
  new GuardedClient({ allowPrivate, connectTimeoutMs: 2000, headersTimeoutMs: 2000, bodyTimeoutMs: 2000, maxRedirects: 3 })

describe('the guard of given URLs', () => {
  it('refuses private, loopback, link-local and mapped addresses, and takes public ones', () => {
    const refused = [
      '127.0.0.1',
      '10.1.2.3',
      '192.168.0.1',
      '172.16.0.1',
      '169.254.169.254',
      '0.0.0.0',
      '::1',
      '::',
      'fe80::1',
      'fc00::1',
      '::ffff:127.0.0.1',
      '100.64.0.1',
      '224.0.0.1',
      'x',
    ]
    for (const address of refused) expect(addressAllowed(address, []), address).toBe(false)
    for (const address of ['8.8.8.8', '2606:4700::1111']) expect(addressAllowed(address, []), address).toBe(true)
    expect(addressAllowed('10.1.2.3', ['10.1.0.0/16'])).toBe(true)
    expect(addressAllowed('10.2.2.3', ['10.1.0.0/16'])).toBe(false)
    expect(addressAllowed('::ffff:10.1.2.3', ['10.1.0.0/16'])).toBe(true)
  })

  it('never connects to a private address: by literal, by name, with a strange spelling', async () => {
    let asked = 0
    const port = await serve((_, response) => {
      asked++
      response.end()
    })
    const client = guard([])
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1', '0177.0.0.1']) {
      await expect(client.get(`http://${host}:${port}/`), host).rejects.toMatchObject({
        code: expect.stringMatching(/^url-(not-allowed|unreachable)$/),
      })
    }
    await client.close()
    expect(asked).toBe(0)
  })

  it('judges each redirect, also to another protocol', async () => {
    let asked = 0
    const inner = await serve((_, response) => {
      asked++
      response.end('secret')
    })
    const targets = [`http://127.0.0.2:${inner}/`, 'file:///etc/passwd', 'gopher://x/', 'http://user:pw@8.8.8.8/', 'http://[']
    for (const location of targets) {
      const outer = await serve((_, response) => response.writeHead(302, { location }).end())
      const client = guard(['127.0.0.1/32'])
      await expect(client.get(`http://127.0.0.1:${outer}/`), location).rejects.toMatchObject({ code: 'url-not-allowed', retryable: false })
      await client.close()
    }
    expect(asked).toBe(0)
  })

  it('gives up on a redirect loop', async () => {
    const port = await serve((_, response) => response.writeHead(302, { location: '/' }).end())
    const client = guard(['127.0.0.0/8'])
    await expect(client.get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ code: 'too-many-redirects' })
    await client.close()
  })

  it('follows an allowed redirect to the answer', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/a') response.writeHead(302, { location: '/b' }).end()
      else response.end('here')
    })
    const client = guard(['127.0.0.0/8'])
    const { url, response } = await client.get(`http://127.0.0.1:${port}/a`)
    expect(url).toBe(`http://127.0.0.1:${port}/b`)
    expect(await response.body.text()).toBe('here')
    await client.close()
  })
})

describe('a call between tiers', () => {
  it('throws the code of the problem document that it gets', async () => {
    const problem = { title: 'full', code: 'insufficient-storage', source: 'disk', retryable: true }
    const port = await serve((_, response) => response.writeHead(507).end(JSON.stringify(problem)))
    const failed = call(`http://127.0.0.1:${port}/`, { timeoutMs: 1000 })
    await expect(failed).rejects.toMatchObject({
      code: 'insufficient-storage',
      source: 'disk',
      retryable: true,
      status: 507,
      message: 'full',
    })
  })

  it('is unreachable, and worth a retry, when nobody answers in time', async () => {
    const port = await serve(() => undefined)
    await expect(call(`http://127.0.0.1:${port}/`, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'unreachable', retryable: true })
  })

  it('refuses an answer outside the contract', async () => {
    const port = await serve((_, response) => response.end('{"a":"x"}'))
    const failed = call(`http://127.0.0.1:${port}/`, { timeoutMs: 1000, schema: z.object({ a: z.number() }) })
    await expect(failed).rejects.toMatchObject({ code: 'bad-answer', retryable: false })
  })
})

describe('a retry', () => {
  const options = { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 }

  it('stops at once for what a retry cannot help', async () => {
    let runs = 0
    const failing = retry(options, async () => {
      runs++
      throw new MillraceError('no', { code: 'no', source: 'client', retryable: false })
    })
    await expect(failing).rejects.toMatchObject({ code: 'no' })
    expect(runs).toBe(1)
  })

  it('ends with the last error after its attempts, or with the first success', async () => {
    let runs = 0
    await expect(
      retry(options, async (attempt) => {
        runs++
        throw new Error(`try ${attempt}`)
      }),
    ).rejects.toThrow('try 3')
    expect(runs).toBe(3)
    expect(
      await retry(options, async (attempt) => {
        if (attempt < 2) throw new Error('again')
        return attempt
      }),
    ).toBe(2)
  })
})
