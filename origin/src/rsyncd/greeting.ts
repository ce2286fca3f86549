import { connect } from 'node:net'
import type { ListenAddress } from '@millrace/common/config/units'

/** Whether an rsync daemon answers there: it speaks first, `@RSYNCD: <protocol>`. */
export function greets(address: ListenAddress, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: connectable(address.host), port: address.port })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(timeoutMs, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('data', (data) => end(data.toString('latin1').startsWith('@RSYNCD:')))
  })
}

/** A wildcard address can be listened on, not connected to. */
function connectable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
