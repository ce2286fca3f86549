import type { Bar } from '@millrace/common/testing/bench'
import type { NginxOrigin } from './nginx.js'

/** What every part works with. */
export interface Bench {
  /** Of this run; each part makes folders of its own in it. */
  folder: string
  cores: Cores
  quick: boolean
  rounds: number
  /** Of one run of wrk. */
  seconds: number
  /** How many objects the `million` part stores. */
  objects: number
  /** Whether it is installed. nginx always is: without it there is no origin, and nothing runs. */
  varnish: boolean
  origin: NginxOrigin
  certificate: { cert: string; key: string } | undefined
  /** Progress, for who waits. */
  say: (line: string) => void
}

/** The server that is measured has a core of its own; the clients another; the origins a third one, where there is one. */
export interface Cores {
  server: number
  client: number
  origin: number
}

export interface PartResult {
  bars: Bar[]
  tables: { title: string; head: string[]; rows: (string | number)[][] }[]
  /** Conditions that a reader must know. */
  notes: string[]
  /** For the JSON line. */
  detail: Record<string, unknown>
}

export const NOTHING: PartResult = { bars: [], tables: [], notes: [], detail: {} }

export interface Part {
  name: string
  /** For `--help`. */
  about: string
  run: (bench: Bench) => Promise<PartResult>
}

export const NO_VARNISH = 'Varnish is not installed'
