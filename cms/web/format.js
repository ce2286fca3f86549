// Numbers and states as people read them.

export function bytes(count) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  const step = Math.min(units.length - 1, count > 0 ? Math.floor(Math.log10(count) / 3) : 0)
  const value = count / 1000 ** step
  return `${value.toFixed(step > 0 && value < 100 ? 1 : 0)} ${units[step]}`
}

export function clock(seconds) {
  const whole = Math.round(seconds)
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  if (parts[0] === 0) parts.shift()
  return parts.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':')
}

const STAGES = {
  fetch: 'fetching the source',
  probe: 'looking at it',
  encode: 'encoding',
  verify: 'checking',
  publish: 'copying to origins',
}

/** What a running job does, in a line. */
export function progressLine(progress) {
  const parts = [STAGES[progress.stage] ?? progress.stage]
  if (progress.fraction !== undefined) parts.push(`${Math.floor(progress.fraction * 100)} %`)
  if (progress.speed) parts.push(progress.stage === 'encode' ? `${progress.speed.toFixed(1)}× real time` : `${bytes(progress.speed)}/s`)
  if (progress.etaSeconds !== undefined) parts.push(`${clock(progress.etaSeconds)} left`)
  return `${parts.join(' · ')} on ${progress.transcoderId}`
}

/** Length, size and renditions of a video, in a line. */
export function facts(video) {
  const parts = []
  if (video.durationSeconds !== undefined) parts.push(clock(video.durationSeconds))
  const sizes = video.renditions.filter((file) => file.role === 'video').map((file) => `${Math.min(file.width, file.height)}p`)
  if (sizes.length > 0) parts.push(sizes.join(' '))
  for (const [role, one, many] of [
    ['audio', 'audio track', 'audio tracks'],
    ['text', 'subtitle', 'subtitles'],
  ]) {
    const count = video.renditions.filter((file) => file.role === role).length
    if (count > 0) parts.push(`${count} ${count === 1 ? one : many}`)
  }
  parts.push(video.source.bytes === undefined ? video.source.name : `${video.source.name}, ${bytes(video.source.bytes)}`)
  return parts.join(' · ')
}

/** `fr` → French, in the reader's language. */
export function languageName(tag) {
  if (!tag || tag === 'und') return 'unknown language'
  try {
    return new Intl.DisplayNames(undefined, { type: 'language' }).of(tag) ?? tag
  } catch {
    return tag
  }
}
