import type { Sample, Snapshot } from '../metrics.js'
import { Totals } from './totals.js'
import { inTurns } from './rounds.js'

export interface CensusOptions {
  /** Asks every process that serves for what it has counted; resolves when they have answered, or should have. */
  ask: () => Promise<unknown>
  /** What the process that leads has to tell itself. */
  own: () => Sample[]
}

/**
 * The metrics of all processes. Of one that does not answer in time, and of one that died, the last that is known of it counts:
 * what was told once is never taken back.
 */
export class Census {
  readonly #own: () => Sample[]
  readonly #totals = new Totals()
  readonly #last = new Map<number, Snapshot>()
  readonly #ask: () => Promise<void>

  constructor ({ ask, own }: CensusOptions) {
    this.#own = own
    this.#ask = inTurns(async () => { await ask() })
  }

  /** Asks them all and answers the totals as Prometheus text. */
  async take (): Promise<string> {
    await this.#ask()
    return this.#totals.render(this.#last) + rendered(this.#own())
  }

  /** A process has answered; what comes late is still newer than what was known. */
  counted (worker: number, snapshot: Snapshot): void { this.#last.set(worker, snapshot) }

  /** A process has ended: what was known of it last stays in the totals. */
  ended (worker: number): void {
    const last = this.#last.get(worker)
    this.#last.delete(worker)
    if (last !== undefined) this.#totals.retire(last)
  }
}

function rendered (samples: Sample[]): string {
  return samples.map(({ name, help, type, value }) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`).join('')
}
