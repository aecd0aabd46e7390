import { Breaker, type BreakerOptions, type BreakerState, type BreakerSwitch, isRefusal, type Trial } from './breaker.js'
import { withDeadline } from './deadline.js'
import type { Retry, Verdict } from './retry.js'

/**
 * How many deadlines an operation may take while the other side answers others: it is behind with its work then, and not gone. Only one
 * that says nothing at all is given up after a single one.
 */
const WHILE_ANSWERING = 4
/** Milliseconds. */
const A_MOMENT = 10

/**
 * What became of an operation that failed for a passing reason. `unsent`: it never left, as there was no connection. `undone`: the other
 * side answered that it does not do it just now. `lost`: the connection was lost behind it, and whether it was done is not known.
 */
export type Passing = 'unsent' | 'undone' | 'lost'

/** That an operation may be tried again. */
export interface Repeatable {
  /** Also where it may have been done already: to do it twice is as good as once, and the answer is still right. */
  isIdempotent: boolean
  /** Asked before each further try: whether something has come since that it must not follow. */
  isOvertaken?: () => boolean
}

/** What reads, or may be done twice. */
export const IDEMPOTENT: Repeatable = { isIdempotent: true }
/** What must not be done twice, and follows nothing. */
export const ONCE: Repeatable = { isIdempotent: false }

export interface ResilienceOptions extends BreakerOptions {
  /** Tries operations again that are `Repeatable`. Default: nothing is. */
  retry?: Retry | undefined
  /** Which outages pass, and what became of the operation then. Default: none does. */
  passing?: (error: unknown) => Passing | undefined
  /** Whether there is a connection to try again over: until then nothing is. Default: always. */
  isConnected?: () => boolean
  /** Has each try wait for its turn: nobody has one while it pauses. Default: there are no turns. */
  admit?: <T>(work: () => Promise<T>) => Promise<T>
}

/**
 * What stands between this process and something that may be slow, down or hung: a deadline for each operation, retries within it where
 * they are asked for, and a circuit breaker.
 */
export class Resilience {
  readonly #breaker: Breaker
  readonly #options: ResilienceOptions
  /** When the other side last answered anything, on the clock of `performance`. */
  #answeredAt = -Infinity

  constructor (options: ResilienceOptions) {
    this.#options = options
    const { retry } = options
    this.#breaker = new Breaker({ trials: () => retry?.policy.trials, ...options })
  }

  get state (): BreakerState { return this.#breaker.state }

  /** The breaker, for operators. */
  get switch (): BreakerSwitch { return this.#breaker }

  /**
   * @param deadline milliseconds for the operation with all its tries, from when its turn came; those of the first try are counted from the last answer to any
   * operation: a server that works through a thousand of them is not hung. At most four times as many in all.
   * @param repeatable default: the operation is not tried again
   * @throws DeadlineError when it passed, an error for which `isRefusal` holds when the breaker was open, and what the operation throws
   */
  async run<T> (operation: () => Promise<T>, deadline: number, repeatable?: Repeatable): Promise<T> {
    const { retry, admit } = this.#options
    let trial: Trial = 0
    let begun = 0
    const first = async (): Promise<T> => {
      if (this.#breaker.state !== 'closed') trial = await this.#breaker.enter()
      begun = performance.now()
      return await this.#try(operation, deadline, WHILE_ANSWERING)
    }
    try {
      const result = await (admit === undefined ? first() : admit(first))
      this.#breaker.succeeded(trial)
      retry?.budget.succeeded()
      return result
    } catch (error) {
      if (isRefusal(error)) throw error
      if (retry === undefined || repeatable === undefined || trial !== 0) return this.#fail(error, trial, begun)
      return await this.#again(error, begun, operation, deadline, retry, repeatable)
    }
  }

  /** Goes on after a first try that failed. */
  async #again<T> (failure: unknown, begun: number, operation: () => Promise<T>, deadline: number, retry: Retry, repeatable: Repeatable): Promise<T> {
    const { admit = atOnce, isConnected = () => true } = this.#options
    const end = begun + deadline
    const further = async (): Promise<T> => {
      if (!isConnected()) throw NOT_SENT
      let isItsTurn = false
      const turn = admit(async () => {
        isItsTurn = true
        const left = end - performance.now()
        // It may have waited for its turn meanwhile.
        if (this.#breaker.state !== 'closed' || repeatable.isOvertaken?.() === true || left <= 0) throw NOT_SENT
        return await this.#try(operation, left, 1)
      })
      try {
        // Those before it may take longer than it has. Its own try ends by itself.
        return await withDeadline(turn, end - performance.now(), () => isItsTurn ? A_MOMENT : 0)
      } catch (error) {
        throw isItsTurn ? error : NOT_SENT
      }
    }
    try {
      const result = await retry.resume(failure, begun, further, { judge: (error) => this.#judge(error, repeatable), deadline })
      this.#breaker.succeeded(0)
      return result
    } catch (error) {
      return this.#fail(error === NOT_SENT ? failure : error, 0, begun)
    }
  }

  #judge (error: unknown, { isIdempotent, isOvertaken }: Repeatable): Verdict {
    const { isOutage, passing } = this.#options
    const kind = error === NOT_SENT ? 'unsent' : passing?.(error)
    if (kind === undefined) return isOutage(error) ? 'final' : 'answer'
    if ((kind === 'lost' && !isIdempotent) || isOvertaken?.() === true) return 'final'
    if (this.#breaker.state !== 'closed') return 'denied'
    return kind === 'unsent' ? 'unsent' : 'lost'
  }

  #fail (error: unknown, trial: Trial, begun: number): never {
    const { isOutage, passing } = this.#options
    if (isOutage(error)) this.#breaker.failed(trial, passing?.(error) === 'lost' ? begun : Infinity)
    else if (trial !== 0) this.#breaker.succeeded(trial)
    throw error
  }

  async #try<T> (operation: () => Promise<T>, deadline: number, whileAnswering: number): Promise<T> {
    const begun = performance.now()
    try {
      const result = await withDeadline(operation(), deadline, () => {
        const end = Math.min(Math.max(begun, this.#answeredAt) + deadline, begun + whileAnswering * deadline)
        return end - performance.now()
      })
      this.#answeredAt = performance.now()
      return result
    } catch (error) {
      if (!this.#options.isOutage(error)) this.#answeredAt = performance.now()
      throw error
    }
  }
}

/** Nothing is sent without a connection, or once it is too late. */
const NOT_SENT = new Error('Nothing was sent')

const atOnce = async <T>(work: () => Promise<T>): Promise<T> => await work()
