import { access, constants, mkdir } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import { runChild } from './child.js'
import type { Config } from './config.js'

const ENCODERS = ['libx264', 'aac', 'webvtt', 'mjpeg']

/**
 * Whether this host can do the work at all, asked once at start.
 *
 * @throws MillraceError `tool-missing` or `encoder-missing`, naming what to install.
 */
export async function preflight(config: Config): Promise<void> {
  await mkdir(config.workspace, { recursive: true, mode: 0o700 })
  await workspaceWritable(config.workspace)
  await answers(config.ffmpeg.probePath, ['-version'])
  await answers(config.publish.rsync.path, ['--version'])
  const encoders = await answers(config.ffmpeg.path, ['-hide_banner', '-encoders'])
  const known = new Set(encoders.map((line) => line.trim().split(/\s+/)[1]))
  const missing = ENCODERS.filter((name) => !known.has(name))
  if (missing.length > 0) throw unusable('encoder-missing', `${config.ffmpeg.path} has no encoder ${missing.join(', ')}`)
}

/** Throws when the workspace can't take files. */
export async function workspaceWritable(folder: string): Promise<void> {
  await access(folder, constants.W_OK | constants.X_OK)
}

async function answers(program: string, args: string[]): Promise<string[]> {
  const lines: string[] = []
  const result = await runChild(program, args, { onLine: (line) => lines.push(line) })
  if (result.exitCode !== 0) throw unusable('tool-missing', `${program} does not run: ${result.stderr || `exit code ${result.exitCode}`}`)
  return lines
}

function unusable(code: string, message: string): MillraceError {
  return new MillraceError(message, { code, source: 'internal', retryable: false })
}
