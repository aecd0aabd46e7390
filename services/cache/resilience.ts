import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen } from 'cockatiel'
import { withDeadline } from './deadline.js'
import type { Retry } from './retry.js'

/** `closed` is the good state; `open` leaves the other side alone; `half-open` lets one operation through to see. */
export type BreakerState = 'closed' | 'half-open' | 'open'

/** For how many milliseconds the other side is left alone after its outages. */
const LEAVE_ALONE = 1000
const BREAK_AFTER = 5
/**
 * How many deadlines an operation may take while the other side answers others: it is behind with its work then, and not gone. Only one
 * that says nothing at all is given up after a single one.
 */
const WHILE_ANSWERING = 4

export interface BreakerOptions {
  /** Whether the other side is in trouble; any other error is an answer of its. */
  isOutage: (error: unknown) => boolean
  /** Consecutive outages after which the other side is left alone. Default 5. */
  breakAfter?: number
  /** Milliseconds for which it is then left alone, before one operation is let through to see. Default 1000. */
  leaveAlone?: number
  /** Is told whenever the breaker's state changes. */
  onState?: (state: BreakerState) => void
}

export interface ResilienceOptions extends BreakerOptions {
  /**
   * Tries operations again after an outage, each time within their deadline: only for what may be done twice. Default: nothing is tried
   * again, since whoever waits for an answer of the cache is better served by a quick one.
   */
  retry?: Retry
  /** Which outages are worth another try. Default: all of them. */
  isTransient?: (error: unknown) => boolean
}

const STATES: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open'
}

/** A circuit breaker (Nygard, "Release It!"): leaves alone what does not answer, so that nobody waits for it in vain. */
export class Breaker {
  #breaker
  readonly #leaveAlone: number
  /** When the other side was last found to be in trouble, in milliseconds since 1970. */
  #openedAt = -Infinity

  constructor ({ isOutage, breakAfter = BREAK_AFTER, leaveAlone = LEAVE_ALONE, onState }: BreakerOptions) {
    this.#leaveAlone = leaveAlone
    this.#breaker = circuitBreaker(handleWhen(isOutage), { halfOpenAfter: leaveAlone, breaker: new ConsecutiveBreaker(breakAfter) })
    this.#breaker.onBreak(() => { this.#openedAt = Date.now() })
    if (onState !== undefined) this.#breaker.onStateChange((state) => { onState(STATES[state]) })
  }

  get state (): BreakerState { return STATES[this.#breaker.state] }

  /**
   * For who waits for something else before `run`: there is no need to while the other side is left alone.
   * @throws an error for which `isRefusal` holds then
   */
  check (): void {
    if (this.state === 'open' && Date.now() - this.#openedAt < this.#leaveAlone) throw new BrokenCircuitError()
  }

  /** @throws an error for which `isRefusal` holds while the other side is left alone, and what the operation throws */
  async run<T> (operation: () => Promise<T>): Promise<T> { return await this.#breaker.execute(operation) }
}

/**
 * What stands between this process and something that may be slow, down or hung: a deadline for each try, retries where they are
 * asked for, and a circuit breaker.
 */
export class Resilience {
  #breaker: Breaker
  #retry
  #isOutage
  #isTransient
  /** When the other side last answered anything, on the clock of `performance`. */
  #answeredAt = -Infinity

  constructor ({ retry, isTransient, ...options }: ResilienceOptions) {
    this.#isOutage = options.isOutage
    this.#isTransient = isTransient ?? options.isOutage
    this.#breaker = new Breaker(options)
    this.#retry = retry
  }

  get state (): BreakerState { return this.#breaker.state }

  /**
   * @param deadline milliseconds for each try, counted from the last answer to any operation: a server that works through a thousand
   * of them is not hung. At most four times as many in all.
   * @throws DeadlineError when it passed, an error for which `isRefusal` holds when the breaker was open, and what the operation throws
   */
  async run<T> (operation: () => Promise<T>, deadline: number): Promise<T> {
    const once = async (): Promise<T> => await this.#breaker.run(async () => await this.#once(operation, deadline))
    if (this.#retry === undefined) return await once()
    return await this.#retry.run(once, { judge: (error) => !isRefusal(error) && this.#isTransient(error) ? 'lost' : 'final' })
  }

  async #once<T> (operation: () => Promise<T>, deadline: number): Promise<T> {
    const begun = performance.now()
    try {
      const result = await withDeadline(operation(), deadline, () => {
        const end = Math.min(Math.max(begun, this.#answeredAt) + deadline, begun + WHILE_ANSWERING * deadline)
        return end - performance.now()
      })
      this.#answeredAt = performance.now()
      return result
    } catch (error) {
      if (!this.#isOutage(error)) this.#answeredAt = performance.now()
      throw error
    }
  }
}

/** Whether the breaker refused the operation, which has not begun then. */
export const isRefusal = (error: unknown): boolean => error instanceof BrokenCircuitError

/** For a gauge: 0 closed, 1 half-open, 2 open. */
export const breakerLevel = (state: BreakerState): number => state === 'closed' ? 0 : state === 'half-open' ? 1 : 2
