import { request } from 'undici'
import { afterEach, beforeEach } from 'vitest'
import { startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'

const TOKEN = 'an-admin-token-of-the-tests'

/** For each test of a suite one edge of one process over origins of its own, and a clock that goes forward when it is told to. */
export interface Scene {
  readonly edge: TestEdge
  readonly folder: string
  readonly o1: TestOrigin
  readonly o2: TestOrigin
  /** Lets the edge, and nobody else, believe that so much time has passed. */
  forward: (ms: number) => void
  /** Stops the edge and starts it again over the same folder. */
  restart: (overrides?: Record<string, unknown>) => Promise<TestEdge>
  purge: (scope: Record<string, unknown>) => Promise<void>
}

/** Registers the hooks. `overrides` may need the folder, as for several disks. */
export function scene(overrides: Record<string, unknown> | ((folder: string) => Record<string, unknown>) = {}): Scene {
  let state: { folder: Awaited<ReturnType<typeof tempFolder>>; o1: TestOrigin; o2: TestOrigin; edge: TestEdge; ahead: number }
  const settings = () => (typeof overrides === 'function' ? overrides(state.folder.path) : overrides)
  const start = async (more: Record<string, unknown> = {}) => {
    const admin = { listen: '127.0.0.1:0', token: TOKEN }
    const now = () => Date.now() + state.ahead
    state.edge = await startTestEdge(state.folder.path, [state.o1, state.o2], { admin, ...settings(), ...more }, now)
    return state.edge
  }
  beforeEach(async () => {
    const [folder, o1, o2] = await Promise.all([tempFolder(), startOrigin(), startOrigin()])
    state = { folder, o1, o2, ahead: 0 } as typeof state
    await start()
  })
  afterEach(async () => {
    await state.edge.stop()
    await Promise.all([state.o1.stop(), state.o2.stop()])
    await state.folder.remove()
  })
  return {
    get edge() {
      return state.edge
    },
    get folder() {
      return state.folder.path
    },
    get o1() {
      return state.o1
    },
    get o2() {
      return state.o2
    },
    forward: (ms) => {
      state.ahead += ms
    },
    restart: async (more) => {
      await state.edge.stop()
      return start(more)
    },
    purge: async (asked) => {
      const headers = { authorization: `Bearer ${TOKEN}` }
      const { statusCode, body } = await request(`${state.edge.adminUrl}/v1/purge`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ version: 1, ...asked }),
      })
      const text = await body.text()
      if (statusCode !== 200) throw new Error(`the purge was answered with ${statusCode}: ${text}`)
    },
  }
}
