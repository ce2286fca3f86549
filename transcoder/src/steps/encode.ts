import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import { runChild } from '../child.js'
import { type EncodePlan, ffmpegArgs } from './ffmpeg-args.js'
import type { Warning } from './media-facts.js'
import { type EncodeProgress, ProgressParser } from './progress.js'

export interface EncodeTool {
  log: Logger
  path: string
  nice: number
  stallTimeoutMs: number
}

/**
 * Runs the plan in a workspace (`source` in, `out/` out).
 *
 * @returns warnings about a source that could be decoded only with errors.
 * @throws MillraceError `encoder-stalled` (retryable), `encode-failed` with ffmpeg's last lines.
 */
export async function encode(
  tool: EncodeTool,
  plan: EncodePlan,
  cwd: string,
  signal: AbortSignal,
  onProgress: (progress: EncodeProgress) => void,
): Promise<Warning[]> {
  const parser = new ProgressParser()
  let latest: EncodeProgress | undefined
  const args = ffmpegArgs(plan, 'source', 'out')
  // The whole command line, relative to the workspace: what to run by hand to see the same.
  tool.log.info({ ffmpeg: tool.path, args, source: 'source' }, 'encode')
  const watchdog = watchForStall(join(cwd, 'out'), tool.stallTimeoutMs, () => `${latest?.seconds} ${latest?.frame}`)
  try {
    const result = await runChild('nice', ['-n', String(tool.nice), tool.path, ...args], {
      cwd,
      signal: AbortSignal.any([signal, watchdog.signal]),
      onLine: (line) => {
        const report = parser.push(line)
        if (!report) return
        latest = report
        onProgress(report)
      },
    })
    if (result.exitCode !== 0) throw failed(result.exitCode, result.stderr)
    if (result.stderrLines === 0) return []
    return [
      { code: 'source-damaged', detail: `${result.stderrLines} errors while decoding, the last: ${result.stderr.split('\n').at(-1)}` },
    ]
  } finally {
    watchdog.stop()
  }
}

/**
 * ffmpeg that hangs says nothing, nor does it while it moves an index to a file's front. So it is stalled when neither its reports nor its
 * files have changed for the whole time.
 */
function watchForStall(folder: string, timeoutMs: number, reported: () => string): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController()
  let last = ''
  let since = Date.now()
  const look = async () => {
    const seen = `${reported()} ${await newestChange(folder)}`
    if (seen !== last) {
      last = seen
      since = Date.now()
    } else if (Date.now() - since >= timeoutMs) controller.abort(stalled(timeoutMs))
  }
  const timer = setInterval(() => {
    look().catch((error: unknown) => controller.abort(error))
  }, timeoutMs / 4)
  return { signal: controller.signal, stop: () => clearInterval(timer) }
}

async function newestChange(folder: string): Promise<number> {
  let newest = 0
  for (const name of await readdir(folder)) newest = Math.max(newest, (await stat(join(folder, name))).mtimeMs)
  return newest
}

function stalled(timeoutMs: number): MillraceError {
  return new MillraceError(`ffmpeg made no progress for ${timeoutMs} ms and was killed`, {
    code: 'encoder-stalled',
    source: 'encoder',
    retryable: true,
  })
}

function failed(exitCode: number | undefined, stderr: string): MillraceError {
  if (/No space left on device/.test(stderr))
    return new MillraceError('the disk of the workspace is full', { code: 'disk-full', source: 'disk', retryable: true, detail: stderr })
  const killed = exitCode === undefined
  return new MillraceError(killed ? 'ffmpeg was killed' : `ffmpeg gave up with exit code ${exitCode}`, {
    code: killed ? 'encoder-killed' : 'encode-failed',
    source: killed ? 'encoder' : 'source-media',
    // Somebody else's kill (out of memory, an operator) says nothing about the source.
    retryable: killed,
    detail: stderr,
  })
}
