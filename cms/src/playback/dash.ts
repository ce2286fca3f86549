import type { Pathway } from './hls.js'

/**
 * The origin's MPD with every edge as a service location (ISO/IEC 23009-1, 5.6 BaseURL; ETSI TS 103 998 content steering): the MPD's
 * relative URLs are resolved against each BaseURL, in the order given until the steering server answers.
 */
export function steerDash(mpd: string, pathways: Pathway[], steeringUrl: string): string {
  const bases = pathways.map(({ id, baseUrl }) => `  <BaseURL serviceLocation="${escapeXml(id)}">${escapeXml(baseUrl)}</BaseURL>`)
  const first = escapeXml(pathways[0]?.id ?? '')
  const steering = `  <ContentSteering defaultServiceLocation="${first}" queryBeforeStart="false">${escapeXml(steeringUrl)}</ContentSteering>`
  const at = insertionPoint(mpd)
  return `${mpd.slice(0, at)}\n${[...bases, steering].join('\n')}${mpd.slice(at)}`
}

/** BaseURL stands after ProgramInformation where there is one, else first. */
function insertionPoint(mpd: string): number {
  const open = /<MPD\b[^>]*>/.exec(mpd)
  if (!open) throw new Error('an MPD has an MPD element')
  const start = open.index + open[0].length
  const information = mpd.lastIndexOf('</ProgramInformation>')
  return information < 0 ? start : information + '</ProgramInformation>'.length
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
