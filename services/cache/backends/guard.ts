import { type Caller, isLeaving } from '../caller.js'
import { BackendFullError, BackendUnavailableError } from '../errors.js'
import { type BreakerState, type BreakerSwitch, isRefusal } from '../breaker.js'
import { type Repeatable, Resilience, type ResilienceOptions } from '../resilience.js'
import { NoTurnError } from '../turns.js'

export interface GuardOptions extends ResilienceOptions {
  /** Of the backend. */
  name: string
  /** What to say to whoever needs the server while it is away. */
  away: string
  /** Whether the server refuses because it has no room. That is an answer: it opens no breaker, and is not tried again. */
  isFull: (error: Error) => boolean
}

/** Keeps a backend's operations within their deadline, leaves a server alone that does not answer, and says so in the cache's errors. */
export class Guard {
  #options: GuardOptions
  #resilience: Resilience

  constructor (options: GuardOptions) {
    this.#options = options
    this.#resilience = new Resilience(options)
  }

  /** `closed` is the good state; `open` leaves the server alone for a second. */
  get state (): BreakerState { return this.#resilience.state }

  /** The breaker, for operators. */
  get switch (): BreakerSwitch { return this.#resilience.switch }

  /** When the server last answered anything in time, on the clock of `performance`. */
  get answeredAt (): number { return this.#resilience.answeredAt }

  /**
   * @param deadline milliseconds from when it is asked for; while the server answers others, four times as many behind five seconds for its turn
   * @param repeatable whether it may be tried again within the deadline; default: it may not
   * @param isUrgent whether it waits for no turn; default: it does
   * @param caller who leaves before it is sent waits no longer, and it is not sent
   * @throws BackendUnavailableError · BackendFullError, and what else the operation throws
   */
  async run<T> (operation: () => Promise<T>, deadline: number, repeatable?: Repeatable, isUrgent = false, caller?: Caller): Promise<T> {
    const { name, away, isOutage, isFull } = this.#options
    try {
      return await this.#resilience.run(operation, deadline, repeatable, isUrgent, caller)
    } catch (error) {
      if (isLeaving(error, caller)) throw error
      if (error instanceof Error && isFull(error)) throw new BackendFullError(name)
      if (error instanceof NoTurnError) throw busy(name)
      if (isRefusal(error) || isOutage(error)) throw new BackendUnavailableError(away)
      throw error
    }
  }
}

/** More is asked of a backend at once than it can answer in time. */
export const busy = (name: string): Error =>
  new BackendUnavailableError(`More is asked of ${name} at once than it can answer in time: try again in a moment.`)
