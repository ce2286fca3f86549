import type { Video } from '@millrace/common/contracts/cms-api'

/** One line that is drawn over itself on a terminal; elsewhere a line whenever a tenth is done. */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream
  #last = ''

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  /** @param key stage and tenth: what a log gets a new line for. */
  show(text: string, key: string): void {
    if (this.#out.isTTY) this.#out.write(`\r\x1b[2K${text}`)
    else if (key !== this.#last) this.#out.write(`${text}\n`)
    this.#last = key
  }

  /** Ends the line, so that what follows starts on its own. */
  end(): void {
    if (this.#out.isTTY && this.#last) this.#out.write('\n')
    this.#last = ''
  }
}

/** How a video's state reads to a person, and the key under which a log repeats it. */
export function describeVideo(video: Video): { text: string; key: string } {
  const progress = video.progress
  if (!progress) return { text: `  ${video.state}`, key: video.state }
  const percent = progress.fraction === undefined ? undefined : Math.floor(progress.fraction * 100)
  const parts = [`  ${progress.stage.padEnd(8)}`, bar(progress.fraction), percent === undefined ? '' : `${String(percent).padStart(3)} %`]
  if (progress.speed !== undefined)
    parts.push(progress.stage === 'encode' ? `${progress.speed.toFixed(1)}×` : `${formatBytes(progress.speed)}/s`)
  if (progress.etaSeconds !== undefined && progress.etaSeconds >= 1) parts.push(`${Math.ceil(progress.etaSeconds)} s left`)
  return { text: parts.filter(Boolean).join(' '), key: `${progress.stage} ${percent === undefined ? '' : Math.floor(percent / 10)}` }
}

export function bar(fraction: number | undefined): string {
  if (fraction === undefined) return ''
  const filled = Math.round(Math.min(1, fraction) * 24)
  return `${'█'.repeat(filled)}${'░'.repeat(24 - filled)}`
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`
}
