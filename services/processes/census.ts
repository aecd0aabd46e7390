import type { Sample, Snapshot } from '../metrics.js'
import { Totals } from './totals.js'

export interface CensusOptions {
  /** Asks every process that serves for what it has counted in this round; answers which ones those are. */
  ask: (round: number) => number[]
  /** What the process that leads has to tell itself. */
  own: () => Sample[]
  /** Milliseconds that they have to answer. Default 1000. */
  patience?: number
}

/**
 * What all processes have counted. Of one that does not answer in time, and of one that died, the last that is known of it counts:
 * what was told once is never taken back.
 */
export class Census {
  readonly #options: Required<CensusOptions>
  readonly #totals = new Totals()
  readonly #last = new Map<number, Snapshot>()
  #round = 0
  #missing = new Set<number>()
  #complete: () => void = () => {}
  #under: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor (options: CensusOptions) {
    this.#options = { patience: 1000, ...options }
  }

  /** Asks them all and answers the totals as Prometheus text. Who comes while a round is under way shares the next one: of this one some have answered before. */
  async take (): Promise<string> {
    // That one round failed does not end those to come.
    this.#next ??= this.#under.catch(() => {}).then(async () => {
      this.#next = undefined
      await (this.#under = this.#ask())
    })
    await this.#next
    return this.#totals.render(this.#last) + rendered(this.#options.own())
  }

  /** A process has answered; what comes late is still newer than what was known. */
  counted (worker: number, round: number, snapshot: Snapshot): void {
    this.#last.set(worker, snapshot)
    if (round === this.#round) this.#tick(worker)
  }

  /** A process has ended: what was known of it last stays in the totals. */
  ended (worker: number): void {
    const last = this.#last.get(worker)
    this.#last.delete(worker)
    if (last !== undefined) this.#totals.retire(last)
    this.#tick(worker)
  }

  async #ask (): Promise<void> {
    const { ask, patience } = this.#options
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#complete = resolve
      timer = setTimeout(resolve, patience)
      this.#missing = new Set(ask(++this.#round))
      if (this.#missing.size === 0) resolve()
    })
    clearTimeout(timer)
  }

  #tick (worker: number): void {
    if (this.#missing.delete(worker) && this.#missing.size === 0) this.#complete()
  }
}

function rendered (samples: Sample[]): string {
  return samples.map(({ name, help, type, value }) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`).join('')
}
