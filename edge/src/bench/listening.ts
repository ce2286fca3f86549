import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { type Child, lastLines } from '../harness/child.js'

/** @throws when the process ended instead, with the end of its log. */
export async function untilListening(child: Child, port: number, logFile: string): Promise<void> {
  let ended = false
  void child.exited.then(() => {
    ended = true
  })
  await until(`${child.name} on port ${port}`, async () => ended || (await accepts(port)))
  if (ended) throw new Error(`${child.name} ended by itself:\n${lastLines(logFile)}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
