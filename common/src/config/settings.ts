import { z } from 'zod'

/** One key of a tier's configuration, for its documentation. */
export interface Setting {
  /** As in a file, dotted: `cache.disks[].path`. */
  key: string
  /** What may stand there, in words. */
  form: string
  /** As it would be written in a file; undefined when there is none. */
  default: string | undefined
  required: boolean
  /** The schema's own `describe()`; '' where the key says it all. */
  about: string
}

/** What `config/units.ts` says of a value that a schema only knows as text. */
const unitSchema = z.object({ unit: z.string(), min: z.string().optional(), max: z.string().optional() })

/** Every key of a schema, in its order; those of lists and optional parts too. */
export function settingsOf(schema: z.ZodType): Setting[] {
  return [...walk(schema, '')]
}

function* walk(schema: z.ZodType, key: string): Generator<Setting> {
  const { inner, about, fallback, optional } = unwrap(schema)
  const parts = objectsIn(inner)
  const own = !parts.some(({ schema: part }) => part === inner)
  // An object says something by itself only where it is described; else its keys do.
  if (key !== '' && (own || about !== '')) {
    yield { key, form: formOf(inner), default: written(fallback), required: !optional && fallback === undefined && own, about }
  }
  for (const { schema: part, suffix } of parts) {
    const prefix = `${key}${suffix}`
    for (const [name, child] of Object.entries(part.shape)) yield* walk(child as z.ZodType, prefix === '' ? name : `${prefix}.${name}`)
  }
}

interface Unwrapped {
  inner: z.ZodType
  about: string
  fallback: unknown
  optional: boolean
}

/** Takes off what only says when a value may be missing; the outermost description counts. */
function unwrap(schema: z.ZodType): Unwrapped {
  let inner = schema
  let about = ''
  let fallback: unknown
  let optional = false
  for (;;) {
    about ||= inner.description ?? ''
    if (inner instanceof z.ZodOptional) optional = true
    else if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) fallback ??= inner.def.defaultValue
    else if (inner instanceof z.ZodPipe && unitOf(inner) === undefined) {
      inner = inner.in as z.ZodType
      continue
    } else return { inner, about, fallback, optional }
    inner = inner.unwrap() as z.ZodType
  }
}

/** The objects whose keys stand under a key: itself, of a list, or one of several choices. */
function objectsIn(schema: z.ZodType): { schema: z.ZodObject; suffix: string }[] {
  if (schema instanceof z.ZodObject) return [{ schema, suffix: '' }]
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => objectsIn(unwrap(option as z.ZodType).inner))
  if (schema instanceof z.ZodArray) {
    return objectsIn(unwrap(schema.element as z.ZodType).inner).map(({ schema: part, suffix }) => ({ schema: part, suffix: `[]${suffix}` }))
  }
  return []
}

function formOf(schema: z.ZodType): string {
  const unit = unitOf(schema)
  if (unit) return withRange(unit.unit, unit.min, unit.max)
  const { inner } = unwrap(schema)
  if (inner !== schema) return formOf(inner)
  if (schema instanceof z.ZodEnum) return schema.options.map(code).join(' · ')
  if (schema instanceof z.ZodLiteral) return [...schema.values].map(code).join(' · ')
  if (schema instanceof z.ZodBoolean) return '`true` · `false`'
  if (schema instanceof z.ZodNumber) return numberForm(schema)
  if (schema instanceof z.ZodArray) return `list of ${formOf(schema.element as z.ZodType)}`
  if (schema instanceof z.ZodUnion) return schema.options.map((option) => formOf(option as z.ZodType)).join(', or ')
  if (schema instanceof z.ZodRecord) return `map to ${formOf(schema.valueType as z.ZodType)}`
  if (schema instanceof z.ZodObject) return 'map'
  return 'text'
}

function numberForm(schema: z.ZodNumber): string {
  const whole = schema.isInt
  const bound = (value: number | null) => (value === null || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : String(value))
  return withRange(whole ? 'whole number' : 'number', bound(schema.minValue), bound(schema.maxValue))
}

function withRange(what: string, min: string | undefined, max: string | undefined): string {
  if (min !== undefined && max !== undefined) return `${what}, ${min} to ${max}`
  if (min !== undefined) return `${what}, from ${min}`
  return max === undefined ? what : `${what}, up to ${max}`
}

function unitOf(schema: z.ZodType): z.infer<typeof unitSchema> | undefined {
  return unitSchema.safeParse(schema.meta()).data
}

function written(value: unknown): string | undefined {
  if (value === undefined) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value).replaceAll(',', ', ')
}

function code(value: unknown): string {
  return `\`${String(value)}\``
}
