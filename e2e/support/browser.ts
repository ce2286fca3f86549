import { type Browser, chromium, type Page } from 'playwright-core'

/** Debian's Chromium, headless. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
    ],
  })
}

/** What a test sees of a playing page. `buffers` are the SourceBuffers by MIME type, as any player made them. */
export interface Watched {
  page: Page
  problems: string[]
  currentTime: () => Promise<number>
  /** First buffered second of each SourceBuffer, by `video` and `audio`. */
  bufferStarts: () => Promise<Record<string, number>>
  /** Hosts that media segments came from, in order. */
  segmentHosts: () => Promise<string[]>
  /** Waits for a picture of this width. */
  showsWidth: (pixels: number) => Promise<void>
  seek: (seconds: number) => Promise<void>
  /** What the page tells its viewer; empty while all is well. */
  problem: () => Promise<string>
  playsPast: (seconds: number, timeoutMs?: number) => Promise<void>
}

export async function watch(browser: Browser, url: string): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(`page: ${error.message}`))
  await page.addInitScript(() => {
    const buffers: [string, SourceBuffer][] = []
    const add = MediaSource.prototype.addSourceBuffer
    MediaSource.prototype.addSourceBuffer = function (type: string) {
      const buffer = add.call(this, type)
      buffers.push([type.split('/')[0]!, buffer])
      return buffer
    }
    performance.setResourceTimingBufferSize(5000)
    Object.assign(window, { testBuffers: buffers })
    // A small buffer, so that a short clip isn't fetched whole before a test can do anything.
    let millrace: { hls?: { config: object }; dash?: { updateSettings: (settings: object) => void } } | undefined
    Object.defineProperty(window, 'millrace', {
      get: () => millrace,
      set: (value: typeof millrace) => {
        millrace = value
        Object.assign(value?.hls?.config ?? {}, { maxBufferLength: 8, maxMaxBufferLength: 8 })
        const buffer = { bufferTimeDefault: 8, bufferTimeAtTopQuality: 8, bufferTimeAtTopQualityLongForm: 8 }
        value?.dash?.updateSettings({ streaming: { buffer } })
      },
    })
  })
  await page.goto(url)
  return {
    page,
    problems,
    currentTime: () => page.evaluate(() => document.querySelector('video')!.currentTime),
    bufferStarts: () =>
      page.evaluate(() => {
        const buffers = (window as unknown as { testBuffers: [string, SourceBuffer][] }).testBuffers
        return Object.fromEntries(buffers.map(([type, buffer]) => [type, buffer.buffered.start(0)]))
      }),
    segmentHosts: () =>
      page.evaluate(() =>
        performance
          .getEntriesByType('resource')
          .filter((entry) => entry.name.endsWith('.m4s') && (entry as PerformanceResourceTiming).responseStatus === 200)
          .map((entry) => new URL(entry.name).host),
      ),
    seek: (seconds) =>
      page.evaluate((to) => {
        document.querySelector('video')!.currentTime = to
      }, seconds),
    showsWidth: async (pixels) => {
      await page.waitForFunction((wanted) => document.querySelector('video')!.videoWidth === wanted, pixels, { timeout: 20_000 })
    },
    problem: () =>
      page
        .locator('#watch-problem')
        .textContent()
        .then((text) => text ?? ''),
    playsPast: async (seconds, timeoutMs = 30_000) => {
      await page.waitForFunction((past) => document.querySelector('video')!.currentTime >= past, seconds, {
        timeout: timeoutMs,
        polling: 100,
      })
    },
  }
}
