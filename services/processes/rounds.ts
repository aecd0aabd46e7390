interface Round {
  readonly missing: Set<number>
  /** Those that have answered, or ended. */
  readonly heard: Set<number>
  readonly answers: unknown[]
  complete: () => void
}

/** Milliseconds that the processes have to answer. */
const PATIENCE = 1000

/** Asks several processes, and waits for those that were asked until they have answered, or ended, or its patience is over. */
export class Rounds {
  readonly #patience: number
  readonly #open = new Map<number, Round>()
  #last = 0

  constructor ({ patience = PATIENCE }: { patience?: number } = {}) { this.#patience = patience }

  /**
   * @param send asks them; answers which ones those are
   * @returns what came in time
   */
  async ask (send: (round: number) => Iterable<number>): Promise<unknown[]> {
    const number = ++this.#last
    const round: Round = { missing: new Set(), heard: new Set(), answers: [], complete: () => {} }
    this.#open.set(number, round)
    let timer: NodeJS.Timeout | undefined
    try {
      for (const process of send(number)) if (!round.heard.has(process)) round.missing.add(process)
      if (round.missing.size > 0) {
        await new Promise<void>((resolve) => {
          round.complete = resolve
          timer = setTimeout(resolve, this.#patience)
        })
      }
      return round.answers
    } finally {
      clearTimeout(timer)
      this.#open.delete(number)
    }
  }

  answered (process: number, number: number, answer?: unknown): void {
    const round = this.#open.get(number)
    if (round === undefined || round.heard.has(process)) return
    round.answers.push(answer)
    tick(round, process)
  }

  /** Nothing is to be heard of it any more. */
  ended (process: number): void {
    for (const round of this.#open.values()) tick(round, process)
  }
}

function tick ({ missing, heard, complete }: Round, process: number): void {
  heard.add(process)
  if (missing.delete(process) && missing.size === 0) complete()
}

/** One run at a time. Who comes while one is under way shares the next one: of this one, part was done before. */
export function inTurns (run: () => Promise<void>): () => Promise<void> {
  let under: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  return async () => {
    // That one run failed does not end those to come.
    next ??= under.catch(() => {}).then(async () => {
      next = undefined
      await (under = run())
    })
    await next
  }
}
