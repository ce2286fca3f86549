/** One way to reach an asset: an edge, and the absolute URL that relative ones of the manifest are resolved against. */
export interface Pathway {
  id: string
  baseUrl: string
}

type Attributes = [name: string, value: string][]

/** Attribute-list (RFC 8216, 4.2): `NAME=value`, quoted strings kept with their quotes. */
export function parseAttributes(text: string): Attributes {
  return [...text.matchAll(/([A-Z0-9-]+)=("[^"]*"|[^,]*)(?:,|$)/g)].map(([, name, value]) => [name!, value!])
}

function formatAttributes(attributes: Attributes): string {
  return attributes.map(([name, value]) => `${name}=${value}`).join(',')
}

const quote = (text: string) => `"${text}"`
const unquote = (text: string) => text.replace(/^"|"$/g, '')
/** Attributes of EXT-X-STREAM-INF that name a group of EXT-X-MEDIA. */
const GROUPS = ['AUDIO', 'VIDEO', 'SUBTITLES', 'CLOSED-CAPTIONS']

/**
 * The origin's multivariant playlist with every edge as a pathway (RFC 8216bis, 4.4.6.6 and 7): all variants once per edge, with
 * absolute URIs, PATHWAY-ID, and groups of the edge's own, so that sound comes from the edge that the picture comes from. Players
 * that know no steering see redundant variants and fail over between them.
 */
export function steerHls(playlist: string, pathways: Pathway[], steeringUrl: string): string {
  const lines = playlist.split(/\r?\n/).filter((line) => line !== '')
  const first = lines.findIndex((line) => isRendition(line) || isVariant(line))
  const body = first < 0 ? [] : lines.slice(first)
  const steering = formatAttributes([
    ['SERVER-URI', quote(steeringUrl)],
    ['PATHWAY-ID', quote(pathways[0]?.id ?? '.')],
  ])
  const out = [...(first < 0 ? lines : lines.slice(0, first)), `#EXT-X-CONTENT-STEERING:${steering}`]
  for (const pathway of pathways) out.push(...body.map((line) => steerLine(line, pathway)))
  return `${out.join('\n')}\n`
}

function isRendition(line: string): boolean {
  return line.startsWith('#EXT-X-MEDIA:')
}

function isVariant(line: string): boolean {
  return line.startsWith('#EXT-X-STREAM-INF:') || line.startsWith('#EXT-X-I-FRAME-STREAM-INF:')
}

function steerLine(line: string, pathway: Pathway): string {
  if (!line.startsWith('#')) return absolute(line, pathway)
  if (!isRendition(line) && !isVariant(line)) return line
  const colon = line.indexOf(':')
  const attributes = parseAttributes(line.slice(colon + 1)).map(([name, value]): [string, string] => {
    if (name === 'URI') return [name, quote(absolute(unquote(value), pathway))]
    const namesGroup = name === 'GROUP-ID' || (GROUPS.includes(name) && value !== 'NONE')
    return [name, namesGroup ? quote(`${unquote(value)}-${pathway.id}`) : value]
  })
  if (isVariant(line)) attributes.push(['PATHWAY-ID', quote(pathway.id)])
  return `${line.slice(0, colon + 1)}${formatAttributes(attributes)}`
}

function absolute(uri: string, pathway: Pathway): string {
  return new URL(uri, pathway.baseUrl).href
}
