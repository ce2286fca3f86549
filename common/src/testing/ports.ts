import { createServer } from 'node:net'

/** Below what Linux gives to outgoing connections (32768 and up), one of which could take a port just before it is listened on. */
const FIRST = 10_240
const COUNT = 32_768 - FIRST

/** Where this process looks next: it never gives one port twice, and other processes most likely look elsewhere. */
let offset = Math.floor(Math.random() * COUNT)

/** A TCP port of 127.0.0.1 that is free now. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    offset = (offset + 1) % COUNT
    if (await isFree(FIRST + offset)) return FIRST + offset
  }
  throw new Error('no port is free')
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
