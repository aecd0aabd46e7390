import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen } from 'cockatiel'
import { withDeadline } from '../deadline.js'
import { BackendFullError, BackendUnavailableError } from '../errors.js'

/** For how many milliseconds a server is left alone after its outages. */
const LEAVE_ALONE = 1000

export interface GuardOptions {
  /** Of the backend. */
  name: string
  /** What to say to whoever needs the server while it is away. */
  away: string
  /** Consecutive outages after which the server is left alone. */
  breakAfter: number
  isOutage: (error: unknown) => boolean
  /** Whether the server refuses because it has no room. */
  isFull: (error: Error) => boolean
}

/** Keeps operations on a server within their deadline, and leaves a server alone that does not answer. */
export class Guard {
  #options: GuardOptions
  #breaker

  constructor (options: GuardOptions) {
    this.#options = options
    this.#breaker = circuitBreaker(handleWhen(options.isOutage), { halfOpenAfter: LEAVE_ALONE, breaker: new ConsecutiveBreaker(options.breakAfter) })
  }

  /** `closed` is the good state; `open` leaves the server alone for a second. */
  get state (): 'closed' | 'open' | 'half-open' {
    const { state } = this.#breaker
    return state === CircuitState.Closed ? 'closed' : state === CircuitState.HalfOpen ? 'half-open' : 'open'
  }

  /** @throws BackendUnavailableError · BackendFullError, and what else the operation throws */
  async run<T> (operation: () => Promise<T>, deadline: number): Promise<T> {
    const { name, away, isOutage, isFull } = this.#options
    try {
      return await this.#breaker.execute(async () => await withDeadline(operation(), deadline))
    } catch (error) {
      if (error instanceof Error && isFull(error)) throw new BackendFullError(name)
      if (isOutage(error) || error instanceof BrokenCircuitError) throw new BackendUnavailableError(away)
      throw error
    }
  }
}
