import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { VERSION } from '@millrace/common/version'
import type { Cores } from './part.js'

/** What is installed, by asking it for its version; undefined where it is not. */
export interface Tools {
  nginx: string | undefined
  varnish: string | undefined
  wrk: string | undefined
  openssl: string | undefined
  taskset: string | undefined
}

export function findTools(): Tools {
  return {
    nginx: version('nginx', ['-v'], /nginx\/(\S+)/),
    varnish: version('varnishd', ['-V'], /varnish-(\S+)/),
    wrk: version('wrk', ['-v'], /wrk (\S+)/),
    openssl: version('openssl', ['version'], /OpenSSL (\S+)/),
    taskset: version('taskset', ['--version'], /util-linux (\S+)/),
  }
}

export function versionsOf(tools: Tools): Record<string, string> {
  const found = Object.entries(tools).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { millrace: VERSION, node: process.version, ...Object.fromEntries(found) }
}

/** @returns undefined on a machine with one core: server and client would share it. */
export function chooseCores(count: number = cpus().length): Cores | undefined {
  return count < 2 ? undefined : { server: 0, client: 1, origin: count > 2 ? 2 : 1 }
}

/** Daemons are where a user's PATH may not look. */
export function withSystemFolders(path: string | undefined): string {
  return [path, '/usr/sbin', '/usr/local/sbin'].filter((part) => part).join(':')
}

function version(command: string, args: string[], pattern: RegExp): string | undefined {
  const { stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  return error ? undefined : (pattern.exec(stdout + stderr)?.[1] ?? 'unknown')
}
