/** What was done to the edge and its origins, and until when clients may feel it. */
export type TroubleKind = 'worker' | 'keeper' | 'edge' | 'origin' | 'both-origins'

interface Trouble {
  kind: TroubleKind
  from: number
  /** Infinity while it lasts. */
  to: number
}

/** After what was broken is whole again: for requests that were already on their way. */
const GRACE_MS = 3000

export class Troubles {
  readonly #all: Trouble[] = []
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** @returns what ends it. */
  begin(kind: TroubleKind): () => void {
    const trouble = { kind, from: this.#now(), to: Number.POSITIVE_INFINITY }
    this.#all.push(trouble)
    return () => {
      trouble.to = this.#now() + GRACE_MS
    }
  }

  /** Whether one of these kinds lay within a request that began then and ends now. */
  touched(kinds: ReadonlySet<TroubleKind>, since: number): boolean {
    return this.#all.some(({ kind, to }) => kinds.has(kind) && to >= since)
  }

  count(kind: TroubleKind): number {
    return this.#all.filter((trouble) => trouble.kind === kind).length
  }
}

/** A transfer may break when who sends it dies. */
export const BREAKS: ReadonlySet<TroubleKind> = new Set(['worker', 'keeper', 'edge', 'origin', 'both-origins'])

/** An answer may be an error when nobody can answer. One dead origin of two is no excuse, nor is one dead worker. */
export const REFUSES: ReadonlySet<TroubleKind> = new Set(['keeper', 'edge', 'both-origins'])
