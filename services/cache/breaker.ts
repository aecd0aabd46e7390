/** `closed` is the good state; `open` leaves the other side alone; `half-open` lets one operation through to see. */
export type BreakerState = 'closed' | 'half-open' | 'open'

/** For how many milliseconds the other side is left alone after its outages. */
const LEAVE_ALONE = 1000
const BREAK_AFTER = 5

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

/** The breaker is open: what was asked for has not begun. */
export class BreakerOpenError extends Error {
  override readonly name = 'BreakerOpenError'
  constructor () { super('It did not answer, and is left alone for a moment') }
}

/** A circuit breaker (Nygard, "Release It!"): leaves alone what does not answer, so that nobody waits for it in vain. */
export class Breaker {
  readonly #isOutage
  readonly #breakAfter: number
  readonly #leaveAlone: number
  readonly #onState
  #state: BreakerState = 'closed'
  #outages = 0
  /** When the last outage was counted, and when the breaker opened, on the clock of `performance`. */
  #countedAt = -Infinity
  #openedAt = -Infinity
  /** Those who wait for what becomes of the one that was let through. */
  #waiting: (() => void)[] = []

  constructor ({ isOutage, breakAfter = BREAK_AFTER, leaveAlone = LEAVE_ALONE, onState = () => {} }: BreakerOptions) {
    this.#isOutage = isOutage
    this.#breakAfter = breakAfter
    this.#leaveAlone = leaveAlone
    this.#onState = onState
  }

  get state (): BreakerState { return this.#state }

  /**
   * For who waits for something else before `run`: there is no need to while the other side is left alone.
   * @throws BreakerOpenError then
   */
  check (): void {
    if (this.#state === 'open' && performance.now() - this.#openedAt < this.#leaveAlone) throw new BreakerOpenError()
  }

  /** @throws BreakerOpenError while the other side is left alone, and what the operation throws */
  async run<T> (operation: () => Promise<T>): Promise<T> {
    const isTrial = this.#state === 'closed' ? false : await this.enter()
    try {
      const result = await operation()
      this.succeeded(isTrial)
      return result
    } catch (error) {
      if (this.#isOutage(error)) this.failed(isTrial)
      else if (isTrial) this.succeeded(true)
      throw error
    }
  }

  /**
   * Asks whether an operation may begin, where the state is not `closed`; whoever comes while another is let through waits for what becomes of it. Its end has to
   * be told.
   * @returns whether it is the one that is let through
   * @throws BreakerOpenError
   */
  async enter (): Promise<boolean> {
    this.check()
    if (this.#state === 'open') {
      this.#become('half-open')
      return true
    }
    if (this.#state === 'half-open') await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
    if (this.#state !== 'closed') throw new BreakerOpenError()
    return false
  }

  /** The other side has answered. */
  succeeded (isTrial: boolean): void {
    this.#outages = 0
    if (isTrial) this.#become('closed')
  }

  /**
   * The other side is in trouble.
   * @param begun when the operation that failed began, where it failed together with others as one connection was lost: that is one outage
   */
  failed (isTrial: boolean, begun = Infinity): void {
    if (begun <= this.#countedAt && !isTrial) return
    const now = performance.now()
    this.#countedAt = now
    this.#outages++
    if (isTrial || (this.#state === 'closed' && this.#outages >= this.#breakAfter)) {
      this.#openedAt = now
      this.#become('open')
    }
  }

  #become (state: BreakerState): void {
    this.#state = state
    if (state !== 'half-open') {
      this.#outages = 0
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    this.#onState(state)
  }
}

/** Whether the breaker refused the operation, which has not begun then. */
export const isRefusal = (error: unknown): boolean => error instanceof BreakerOpenError

/** For a gauge: 0 closed, 1 half-open, 2 open. */
export const breakerLevel = (state: BreakerState): number => state === 'closed' ? 0 : state === 'half-open' ? 1 : 2
