import type { InForce, SharedBackend } from '../backends/backend.js'
import { isOutage, type OnFault } from '../faults.js'

/** For how many milliseconds an invalidation whose answer did not come may still be made: longer than any statement may take. */
const MAY_BE_MADE = 2000

export interface DoubtOptions {
  backend: Pick<SharedBackend, 'inForce'>
  /** Gets all that is in force. */
  onTold: (inForce: InForce[]) => void
  onFault: OnFault
}

/**
 * Whether an invalidation that failed here was made all the same. The others have heard of it then; to the process that asked, its announcement looked
 * like its own, so that it has to ask.
 */
export class Doubt {
  readonly #options: DoubtOptions
  /** Until when there is doubt, by the clock of `performance`; undefined for none. */
  #until: number | undefined
  #isAsking = false

  constructor (options: DoubtOptions) { this.#options = options }

  /** An invalidation has failed, and may be made nevertheless. */
  begin (): void { this.#until = performance.now() + MAY_BE_MADE }

  /** Asks what is in force where there is doubt, which ends with an answer once nothing more can come. To be called again and again. */
  async clear (): Promise<void> {
    const until = this.#until
    if (until === undefined || this.#isAsking) return
    this.#isAsking = true
    const asked = performance.now()
    try {
      this.#options.onTold(await this.#options.backend.inForce())
      // Another may have failed meanwhile.
      if (asked >= until && this.#until === until) this.#until = undefined
    } catch (error) {
      // While the backend is away, the next round asks.
      if (!isOutage(error)) this.#options.onFault(error)
    } finally {
      this.#isAsking = false
    }
  }
}
