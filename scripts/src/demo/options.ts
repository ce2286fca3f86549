import { Command, InvalidArgumentError } from 'commander'

export interface DemoOptions {
  sources: string[]
  once: boolean
  json: boolean
  /** Where data goes; absent: a temporary folder, removed at the end. */
  folder: string | undefined
  port: number
  x264Preset: string
}

export function parseOptions(argv: string[]): DemoOptions {
  const program = new Command('npm run demo --')
    .description(
      'Starts a whole Millrace on this machine (Redis, CMS, a transcoder, two origins, two edges), uploads a video and prints where it plays.\nWithout a source it makes a 30-second sample.',
    )
    .argument('[source...]', 'files or http(s) URLs of videos')
    .option('--once', 'play everything through both edges like a player would, print a table, and stop', false)
    .option('--json', 'print the result as one JSON object on the last line', false)
    .option('--folder <path>', 'keep data here, and take it up again next time (default: a temporary folder)')
    .option('--port <number>', 'port of the web page; edges follow it; taken ports are replaced by free ones', port, 8080)
    .option('--preset <name>', 'x264 preset', 'veryfast')
    .addHelpText(
      'after',
      `
Examples:
  npm run demo                                   a sample video; the page stays until Ctrl-C
  npm run demo -- holiday.mp4                    your own video
  npm run demo -- --once --json clip.mp4         check the whole way, then stop: exit code 0 or 1`,
    )
  program.parse(argv)
  const options = program.opts<{ once: boolean; json: boolean; folder?: string; port: number; preset: string }>()
  return {
    sources: program.args,
    once: options.once,
    json: options.json,
    folder: options.folder,
    port: options.port,
    x264Preset: options.preset,
  }
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 65_000) throw new InvalidArgumentError('a port is a number from 1 to 65000')
  return value
}
