import type { Sample } from '../metrics.js'

/** Why callers are turned away, as the metrics name it: a few words, so that nobody can make up more series. */
const REASONS = ['no_credential', 'bad_credential', 'forbidden', 'unavailable'] as const

const HELP = 'Callers turned away: without a credential, with one that does not hold, without the right, or while that could not be known'

/** Counts who was turned away, by reason. */
export class Denials {
  readonly #counts = { no_credential: 0, bad_credential: 0, forbidden: 0, unavailable: 0 }

  /** @param why what was wrong with a credential, where there was one */
  count ({ statusCode, why }: { statusCode?: number, why?: string }): void {
    if (statusCode === 403) this.#counts.forbidden++
    else if (statusCode === 503) this.#counts.unavailable++
    else if (statusCode === 401) this.#counts[why === undefined ? 'no_credential' : 'bad_credential']++
  }

  /** For `Metrics.addCollector`. */
  samples (): Sample[] {
    return REASONS.map((reason) => ({ name: 'larder_denials_total', help: HELP, type: 'counter', labels: { reason }, value: this.#counts[reason] }))
  }
}
