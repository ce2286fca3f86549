/** The part of mpd-parser (which ships no types) that the walker uses. */
declare module 'mpd-parser' {
  export interface DashPlaylist {
    segments: { resolvedUri: string; duration: number; map?: { resolvedUri: string } }[]
  }
  type Group = Record<string, Record<string, { playlists: DashPlaylist[] }>>
  export function parse(
    text: string,
    options: { manifestUri: string },
  ): { duration: number; playlists: DashPlaylist[]; mediaGroups: { AUDIO: Group; SUBTITLES: Group } }
}
