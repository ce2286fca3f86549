import { describe, expect, it } from 'vitest'
import { steerDash } from './dash.js'

const pathways = [
  { id: 'e2', baseUrl: 'https://e2.test/o1/files/v/r1/' },
  { id: 'e1', baseUrl: 'http://10.0.0.1:8080/o1/files/v/r1/' },
]
const added = `
  <BaseURL serviceLocation="e2">https://e2.test/o1/files/v/r1/</BaseURL>
  <BaseURL serviceLocation="e1">http://10.0.0.1:8080/o1/files/v/r1/</BaseURL>
  <ContentSteering defaultServiceLocation="e2" queryBeforeStart="false">http://cms.test/play/v/steering?a=1&amp;b=2</ContentSteering>`

describe('a steered MPD', () => {
  it('has a service location per edge, and the steering server', () => {
    const mpd = '<?xml version="1.0"?>\n<MPD type="static"\n profiles="p">\n  <Period id="0"/>\n</MPD>\n'
    expect(steerDash(mpd, pathways, 'http://cms.test/play/v/steering?a=1&b=2')).toBe(
      `<?xml version="1.0"?>\n<MPD type="static"\n profiles="p">${added}\n  <Period id="0"/>\n</MPD>\n`,
    )
  })

  it('keeps ProgramInformation first, as the schema wants', () => {
    const head = '<MPD>\n  <ProgramInformation><Title>t</Title></ProgramInformation>'
    expect(steerDash(`${head}\n  <Period/>\n</MPD>`, pathways, 'http://cms.test/play/v/steering?a=1&b=2')).toBe(
      `${head}${added}\n  <Period/>\n</MPD>`,
    )
  })

  it('cannot be made of something else', () => {
    expect(() => steerDash('<html>', pathways, 'http://cms.test/')).toThrow()
  })
})
