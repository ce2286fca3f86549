import { createLogger } from '@millrace/common/log'
import { startChild } from './app/child.js'
import { runChild } from './supervise/child.js'

// A keeper or a worker of an edge with several workers: forked by the supervisor, never run by hand.
const log = createLogger({ service: 'edge' })
runChild('millrace-edge', log, startChild)
