import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import type { z } from 'zod'
import { MillraceError } from '../errors.js'

/**
 * Reads a YAML (or JSON) file and checks it against a tier's schema. Called from `main.ts` only.
 *
 * @throws MillraceError `bad-config` with every problem at once, each naming its key.
 */
export function loadConfig<S extends z.ZodType>(schema: S, path: string): z.output<S> {
  return parseConfig(schema, readRawConfig(path), path)
}

/**
 * A YAML (or JSON) file as plain data.
 *
 * @throws MillraceError `bad-config`
 */
export function readRawConfig(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8')) ?? {}
  } catch (error) {
    throw new MillraceError(`cannot read config ${path}: ${(error as Error).message}`, badConfig(error))
  }
}

export function parseConfig<S extends z.ZodType>(schema: S, raw: unknown, name = 'config'): z.output<S> {
  const result = schema.safeParse(raw)
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => `  ${issue.path.join('.') || '(root)'}: ${issue.message}`)
  throw new MillraceError(`${name} has ${problems.length} problem${problems.length === 1 ? '' : 's'}:\n${problems.join('\n')}`, badConfig())
}

function badConfig(cause?: unknown) {
  return { code: 'bad-config', source: 'client', retryable: false, cause } as const
}
