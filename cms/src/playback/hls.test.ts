import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAttributes, steerHls } from './hls.js'

const PLAYLIST = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English, plain",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio-eng.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="English",LANGUAGE="eng",DEFAULT=NO,FORCED=NO,URI="text-eng.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.4d401e,mp4a.40.2",RESOLUTION=640x360,AUDIO="audio",SUBTITLES="subs",CLOSED-CAPTIONS=NONE
video-360p.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI="iframes-360p.m3u8"
`
const pathways = [
  { id: 'e2', baseUrl: 'https://e2.test/o1.o2~v1~9~k1~m/files/v/r1/' },
  { id: 'e1', baseUrl: 'http://10.0.0.1:8080/o1.o2/files/v/r1/' },
]

describe('a steered multivariant playlist', () => {
  it('has everything once per edge, with groups of its own, absolute URIs and PATHWAY-IDs', () => {
    expect(steerHls(PLAYLIST, pathways, '/play/v/steering')).toBe(`#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-CONTENT-STEERING:SERVER-URI="/play/v/steering",PATHWAY-ID="e2"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-e2",NAME="English, plain",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="https://e2.test/o1.o2~v1~9~k1~m/files/v/r1/audio-eng.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs-e2",NAME="English",LANGUAGE="eng",DEFAULT=NO,FORCED=NO,URI="https://e2.test/o1.o2~v1~9~k1~m/files/v/r1/text-eng.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.4d401e,mp4a.40.2",RESOLUTION=640x360,AUDIO="audio-e2",SUBTITLES="subs-e2",CLOSED-CAPTIONS=NONE,PATHWAY-ID="e2"
https://e2.test/o1.o2~v1~9~k1~m/files/v/r1/video-360p.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI="https://e2.test/o1.o2~v1~9~k1~m/files/v/r1/iframes-360p.m3u8",PATHWAY-ID="e2"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-e1",NAME="English, plain",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="http://10.0.0.1:8080/o1.o2/files/v/r1/audio-eng.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs-e1",NAME="English",LANGUAGE="eng",DEFAULT=NO,FORCED=NO,URI="http://10.0.0.1:8080/o1.o2/files/v/r1/text-eng.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.4d401e,mp4a.40.2",RESOLUTION=640x360,AUDIO="audio-e1",SUBTITLES="subs-e1",CLOSED-CAPTIONS=NONE,PATHWAY-ID="e1"
http://10.0.0.1:8080/o1.o2/files/v/r1/video-360p.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI="http://10.0.0.1:8080/o1.o2/files/v/r1/iframes-360p.m3u8",PATHWAY-ID="e1"
`)
  })

  it('keeps a playlist without renditions, sound only, as it is but for the pathways', () => {
    const sound = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=130000,CODECS="mp4a.40.2"\naudio-und.m3u8\n'
    expect(steerHls(sound, [pathways[1]!], '/s')).toBe(
      '#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI="/s",PATHWAY-ID="e1"\n' +
        '#EXT-X-STREAM-INF:BANDWIDTH=130000,CODECS="mp4a.40.2",PATHWAY-ID="e1"\nhttp://10.0.0.1:8080/o1.o2/files/v/r1/audio-und.m3u8\n',
    )
  })
})

describe('an attribute list', () => {
  it('comes back whole, commas in quotes included', () => {
    const name = fc.stringMatching(/^[A-Z][A-Z0-9-]{0,12}$/)
    const value = fc.oneof(fc.stringMatching(/^[^",\r\n]{1,12}$/), fc.stringMatching(/^"[^"\r\n]{0,20}"$/))
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { minLength: 1 }), (attributes) => {
        expect(parseAttributes(attributes.map((pair) => pair.join('=')).join(','))).toEqual(attributes)
      }),
    )
  })
})
