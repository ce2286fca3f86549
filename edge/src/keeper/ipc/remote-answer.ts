import { connect, type Socket } from 'node:net'
import { MillraceError } from '@millrace/common/errors'
import { flatten } from '../../http/fields.js'
import type { OriginAnswer } from '../../origin/contract.js'
import { type AnswerMessage, answerPartSchema, errorFrom, type Greeting, PROTOCOL } from './messages.js'
import { FrameDecoder, FrameWriter } from './wire.js'

export interface RemoteAnswerOptions {
  /** Of the keeper's unix socket. */
  path: string
  /** This worker's name. */
  worker: string
  /** The number of the fill that it came with. */
  fill: number
  /** Tells the keeper that nobody will ask for the body. */
  untaken: () => void
}

/** An answer that the keeper holds: its body comes over a connection of its own, which is made when somebody reads. */
export function remoteAnswer(message: AnswerMessage, options: RemoteAnswerOptions): OriginAnswer {
  const state: { socket?: Socket; discarded: boolean } = { discarded: false }
  const open = () => {
    state.socket = connect(options.path)
    return state.socket
  }
  return {
    ...message,
    length: message.length,
    headers: flatten(message.fields),
    body: takenBody(open, options),
    discard: () => {
      if (state.discarded) return
      state.discarded = true
      if (state.socket) state.socket.destroy()
      else options.untaken()
    },
    // The keeper lets go of its place when the body is taken.
    leaveFills: () => undefined,
  }
}

/** @throws MillraceError that of the origin, or `origin-unreachable` when the keeper is gone */
async function* takenBody(open: () => Socket, { worker, fill }: RemoteAnswerOptions): AsyncGenerator<Uint8Array, void, void> {
  const socket = open()
  const decoder = new FrameDecoder()
  const writer = new FrameWriter()
  writer.push({ t: 'take', protocol: PROTOCOL, worker, fill } satisfies Greeting)
  socket.write(writer.take())
  try {
    for await (const chunk of socket) {
      for (const { head, tail } of decoder.push(chunk as Buffer)) {
        const part = answerPartSchema.parse(head)
        if (part.t === 'end') return
        if (part.t === 'failed') throw errorFrom(part.error)
        yield tail
      }
    }
    throw lost()
  } catch (error) {
    throw error instanceof MillraceError ? error : lost(error)
  } finally {
    socket.destroy()
  }
}

function lost(cause?: unknown): MillraceError {
  const fields = { code: 'origin-unreachable', source: 'internal', retryable: true, status: 502 } as const
  return new MillraceError('the keeper went away with an answer', { ...fields, cause })
}
