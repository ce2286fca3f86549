import { describe, expect, it } from 'vitest'
import { sseMessage } from './feed.js'

describe('a server-sent event', () => {
  it('is one data line, whatever is in it', () => {
    const progress = {
      version: 1 as const,
      videoId: '0'.repeat(26),
      rev: 'r1',
      transcoderId: 'a\nb',
      stage: 'encode' as const,
      at: '2026-01-01T00:00:00Z',
    }
    const message = sseMessage('progress', progress)
    expect(message.split('\n')).toHaveLength(4)
    expect(message).toMatch(/^event: progress\ndata: \{.*"transcoderId":"a\\nb".*\}\n\n$/)
  })
})
