import { createLogger } from '@millrace/common/log'
import { startChild } from './app/child.js'
import { runChild } from './supervise/child.js'

const log = createLogger({ service: 'edge' })
runChild('millrace-edge', log, startChild)
