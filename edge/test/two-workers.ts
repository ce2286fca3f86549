import { afterEach, beforeEach } from 'vitest'
import { tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

/** For each test of a suite a folder, two origins, and a whole edge of two workers over them when it is started. */
export interface TwoWorkers {
  readonly folder: string
  readonly o1: TestOrigin
  readonly o2: TestOrigin
  readonly edge: EdgeProcess
  start: (overrides?: Record<string, unknown>) => Promise<EdgeProcess>
  /** One viewer at each worker, in order of their numbers; those before them leave. */
  viewers: () => Promise<[Viewer, Viewer]>
}

/** Registers the hooks. */
export function twoWorkers(): TwoWorkers {
  let state: {
    folder: Awaited<ReturnType<typeof tempFolder>>
    o1: TestOrigin
    o2: TestOrigin
    edge: EdgeProcess | undefined
    viewers: Viewer[]
  }
  const leave = () => {
    for (const viewer of state.viewers.splice(0)) viewer.close()
  }
  beforeEach(async () => {
    const [folder, o1, o2] = await Promise.all([tempFolder(), startOrigin(), startOrigin()])
    state = { folder, o1, o2, edge: undefined, viewers: [] }
  })
  afterEach(async () => {
    leave()
    await state.edge?.end()
    await Promise.all([state.o1.stop(), state.o2.stop()])
    await state.folder.remove()
  })
  return {
    get folder() {
      return state.folder.path
    },
    get o1() {
      return state.o1
    },
    get o2() {
      return state.o2
    },
    get edge() {
      return state.edge!
    },
    start: async (overrides = {}) => {
      state.edge = await EdgeProcess.start(state.folder.path, [state.o1, state.o2], { workers: 2, ...overrides })
      return state.edge
    },
    viewers: async () => {
      leave()
      const { edge } = state
      state.viewers.push(...(await viewerOfEach(edge!.port, edge!.roles().workers)))
      return state.viewers as [Viewer, Viewer]
    },
  }
}
