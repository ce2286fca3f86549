import { parseConfig } from '@millrace/common/config/load'
import { Secret } from '@millrace/common/config/units'
import { type Config, configSchema } from '../config.js'
import type { ReadConfig } from './config-file.js'

type Plain = Record<string, unknown>

/** What a running edge takes over from a changed configuration; all else needs a restart. */
const RELOADED = ['origins', 'routes', 'limits'] as const
const RELOADED_OF_TLS = ['cert', 'key'] as const

export interface TakenOver extends ReadConfig {
  /** Settings that differ in the file and stay as they are, by name. */
  needRestart: string[]
}

/**
 * The configuration in force, with what can be taken over from the one in the file.
 *
 * @throws MillraceError `bad-config` when both don't go together: a path that stays, say, of an origin that goes
 */
export function takeOver(inForce: ReadConfig, file: ReadConfig): TakenOver {
  const raw = replaced(inForce.raw, file.raw, RELOADED)
  const [tls, renewed] = [inForce.raw.tls, file.raw.tls]
  if (isPlain(tls) && isPlain(renewed)) raw.tls = replaced(tls, renewed, RELOADED_OF_TLS)
  const config = parseConfig(configSchema, raw, 'the configuration in force, with what can be taken over from the changed one,')
  const sections = differing(config, file.config)
  const needRestart = changed(raw, file.raw).filter((name) => sections.has(name.split('.')[0]!))
  return { raw, config, needRestart: needRestart.sort() }
}

function replaced(raw: Plain, by: Plain, names: readonly string[]): Plain {
  const next = { ...raw }
  for (const name of names) {
    if (by[name] === undefined) delete next[name]
    else next[name] = by[name]
  }
  return next
}

/** Settings that mean something else, however they are written. */
function differing(one: Config, other: Config): Set<string> {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]) as Set<keyof Config>
  return new Set([...names].filter((name) => textOf(one[name]) !== textOf(other[name])))
}

/** Settings that are written differently, by the whole name that the file has for them. */
function changed(one: unknown, other: unknown, prefix = ''): string[] {
  if (!isPlain(one ?? other) || !isPlain(other ?? one)) return textOf(one) === textOf(other) ? [] : [prefix]
  const [left, right] = [(one ?? {}) as Plain, (other ?? {}) as Plain]
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].flatMap((name) => changed(left[name], right[name], prefix === '' ? name : `${prefix}.${name}`))
}

/** Tells values apart, secrets too, which hide themselves in JSON. */
function textOf(value: unknown): string {
  if (value instanceof Secret) return JSON.stringify(value.reveal())
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`
  if (!isPlain(value)) return JSON.stringify(value) ?? ''
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  return `{${entries
    .map(([name, each]) => `${name}:${textOf(each)}`)
    .sort()
    .join()}}`
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret)
}
