import { createHash } from 'node:crypto'
import { HttpConnection } from './http-connection.js'
import { type BenchObject, contentOf } from './objects.js'
import type { Server } from './server.js'

/**
 * Puts the objects into a server's cache, and proves what it gives then: the right bytes, and a hit.
 *
 * @throws when it doesn't: what would be measured is not what is claimed.
 */
export async function warm(server: Server, objects: readonly BenchObject[]): Promise<void> {
  const connection = await HttpConnection.open(server.port)
  for (const object of objects) {
    const expected = createHash('sha256').update(contentOf(object)).digest('hex')
    let cache = ''
    for (let turn = 0; turn < 20 && !/^hit/i.test(cache); turn++) {
      const answer = await connection.get(server.target(object.path), { digest: true })
      if (answer.status !== 200 || answer.sha256 !== expected)
        throw new Error(`${server.name} gives a wrong ${object.name} (${answer.status})`)
      cache = answer.headers.get('x-cache') ?? ''
    }
    if (!/^hit/i.test(cache)) throw new Error(`${server.name} does not cache the ${object.name}: ${cache}`)
  }
  connection.close()
}
