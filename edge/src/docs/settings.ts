import { type Setting, settingsOf } from '@millrace/common/config/settings'
import { configSchema } from '../config.js'
import { markdownTable } from './markdown.js'

const HEAD = `# Settings of the edge

Made from the schema that reads the configuration (\`edge/src/config.ts\`): \`npm run docs\` writes this page anew, and a test fails when it is
stale. The file is YAML or JSON. Durations are written as \`250ms\`, \`10s\`, \`5m\`, \`6h\`, \`1d\`; sizes as \`512KiB\`, \`64MiB\`, \`50GiB\`, \`2TB\`; addresses
as \`127.0.0.1:8080\` or \`[::]:80\`; a secret stands there itself or as \`file:/path\`, and has at least 16 characters. A key that is not listed is an
error, and all errors are told at once. \`a[].b\` is the key \`b\` of each member of the list \`a\`. What is required in a part that may be left out
(\`tls\`) or in a list is required where the part or the member is there.
`

/** docs/edge-settings.md. */
export function settingsPage(): string {
  const settings = settingsOf(configSchema)
  const parts = new Map<string, Setting[]>()
  for (const setting of settings) {
    const name = setting.key.split(/[.[]/, 1)[0]!
    parts.set(name, [...(parts.get(name) ?? []), setting])
  }
  const alone = [...parts.values()].filter((part) => part.length === 1).flat()
  const sections = [`## Of the whole edge\n\n${tableOf(alone)}`]
  for (const [name, part] of parts) if (part.length > 1) sections.push(`## ${name}\n\n${tableOf(part)}`)
  return `${HEAD}\n${sections.join('\n')}`
}

function tableOf(settings: readonly Setting[]): string {
  return markdownTable(
    ['key', 'value', 'default', ''],
    settings.map((setting) => [`\`${setting.key}\``, setting.form, defaultOf(setting), setting.about]),
  )
}

function defaultOf({ default: value, required }: Setting): string {
  if (required) return '**required**'
  // A map's defaults are those of its keys.
  return value === undefined || value === '{}' ? '' : `\`${value}\``
}
