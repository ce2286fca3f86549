import { createInterface } from 'node:readline'
import { MillraceError } from '@millrace/common/errors'
import { bound } from '@millrace/common/process'

export interface ChildOptions {
  cwd?: string
  env?: Record<string, string>
  /** Kills the child with SIGKILL; its reason is thrown once the child is gone. */
  signal?: AbortSignal
  /** Each line of stdout; `\r` ends a line too. */
  onLine?: (line: string) => void
}

export interface ChildResult {
  exitCode: number | undefined
  /** How many lines came on stderr, and the last of them. */
  stderrLines: number
  stderr: string
}

const KEPT_LINES = 40
const LONGEST_LINE = 500

/**
 * Runs a program that dies with this process. Its failure is a result, not an error: callers know what it means.
 *
 * @throws MillraceError `tool-missing` when it could not even be started.
 */
export async function runChild(file: string, args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  options.signal?.throwIfAborted()
  const child = bound(file, args, {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    killSignal: 'SIGKILL',
    ...(options.cwd && { cwd: options.cwd }),
    ...(options.env && { env: options.env }),
    ...(options.signal && { cancelSignal: options.signal }),
  })
  const kept: string[] = []
  let stderrLines = 0
  const stdoutRead = readLines(child.stdout, (line) => options.onLine?.(line))
  const stderrRead = readLines(child.stderr, (line) => {
    if (line.trim() === '') return
    stderrLines++
    kept.push(line.slice(0, LONGEST_LINE))
    if (kept.length > KEPT_LINES) kept.shift()
  })
  const [result] = await Promise.all([child, stdoutRead, stderrRead])
  options.signal?.throwIfAborted()
  if (result.exitCode === undefined && !result.isTerminated) throw notStarted(file, result.originalMessage)
  return { exitCode: result.exitCode, stderrLines, stderr: kept.join('\n') }
}

function notStarted(file: string, reason: string | undefined): MillraceError {
  return new MillraceError(`${file} can't be started: ${reason}`, { code: 'tool-missing', source: 'internal', retryable: true })
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine).on('close', resolve)
  })
}
