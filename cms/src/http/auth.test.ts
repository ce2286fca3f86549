import type { FastifyRequest } from 'fastify'
import { describe, expect, it } from 'vitest'
import { localGuard } from './auth.js'

const ask = (method: string, headers: Record<string, string>) => localGuard({ method, headers } as unknown as FastifyRequest)

describe('a service without a token', () => {
  it('answers no name but that of its own machine, whatever proxy stands before it', async () => {
    for (const host of ['evil.test', 'cms.example.com', '127.0.0.1.evil.test', 'localhost.evil.test:80', '10.0.0.1', '']) {
      await expect(ask('GET', { host }), host).rejects.toMatchObject({ code: 'wrong-host', status: 403 })
    }
    for (const host of ['127.0.0.1:8080', 'localhost', '[::1]:8080']) await expect(ask('GET', { host })).resolves.toBeUndefined()
  })

  it('takes changes from its own page only', async () => {
    const host = 'localhost:8080'
    for (const origin of ['null', 'http://evil.test', 'http://localhost:3000', 'http://127.0.0.1:8080']) {
      await expect(ask('POST', { host, origin }), origin).rejects.toMatchObject({ code: 'cross-origin', status: 403 })
    }
    await expect(ask('POST', { host, origin: 'http://localhost:8080' })).resolves.toBeUndefined()
    await expect(ask('DELETE', { host })).resolves.toBeUndefined()
  })
})
