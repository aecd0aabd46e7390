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

/** A breaker as operators see it and hold it open. */
export type BreakerSwitch = Pick<Breaker, 'state' | 'since' | 'outages' | 'isHeld' | 'hold' | 'close' | 'watch'>

/** A circuit breaker (Nygard, "Release It!"): leaves alone what does not answer, so that nobody waits for it in vain. */
export class Breaker {
  readonly #isOutage
  readonly #breakAfter: number
  readonly #leaveAlone: number
  readonly #onState: ((state: BreakerState) => void)[]
  #state: BreakerState = 'closed'
  #since = Date.now()
  #outages = 0
  #isHeld = false
  /** When the last outage was counted, and when the breaker opened, on the clock of `performance`. */
  #countedAt = -Infinity
  #openedAt = -Infinity
  /** Those who wait for what becomes of the one that was let through. */
  #waiting: (() => void)[] = []

  constructor ({ isOutage, breakAfter = BREAK_AFTER, leaveAlone = LEAVE_ALONE, onState }: BreakerOptions) {
    this.#isOutage = isOutage
    this.#breakAfter = breakAfter
    this.#leaveAlone = leaveAlone
    this.#onState = onState === undefined ? [] : [onState]
  }

  get state (): BreakerState { return this.#state }

  /** Since when it has been in its state, in milliseconds since the epoch. */
  get since (): number { return this.#since }

  /** Outages since the other side last answered. */
  get outages (): number { return this.#outages }

  /** Whether it was opened by hand, and stays so until it is closed by hand. */
  get isHeld (): boolean { return this.#isHeld }

  /** Leaves the other side alone until `close`, whatever it answers. What has begun goes on; who waits is refused. */
  hold (): void {
    if (this.#isHeld) return
    this.#isHeld = true
    this.#become('open')
  }

  /** Closes it at once, held or not, and forgets the outages. */
  close (): void {
    this.#isHeld = false
    this.#become('closed')
  }

  /** Is told of the state after each change from now on, and when it begins to be held. */
  watch (listener: (state: BreakerState) => void): void { this.#onState.push(listener) }

  /**
   * For who waits for something else before `run`: there is no need to while the other side is left alone.
   * @throws BreakerOpenError then
   */
  check (): void {
    if (this.#state === 'open' && (this.#isHeld || performance.now() - this.#openedAt < this.#leaveAlone)) throw new BreakerOpenError()
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
    // One that was closed or opened by hand meanwhile stays as it is.
    if (isTrial && this.#state === 'half-open') this.#become('closed')
  }

  /**
   * The other side is in trouble.
   * @param begun when the operation that failed began, where it failed together with others as one connection was lost: that is one outage
   */
  failed (isTrial: boolean, begun = Infinity): void {
    const isDecisive = isTrial && this.#state === 'half-open'
    if (begun <= this.#countedAt && !isDecisive) return
    const now = performance.now()
    this.#countedAt = now
    this.#outages++
    if (isDecisive || (this.#state === 'closed' && this.#outages >= this.#breakAfter)) {
      this.#openedAt = now
      this.#become('open')
    }
  }

  #become (state: BreakerState): void {
    if (state !== this.#state) this.#since = Date.now()
    this.#state = state
    if (state === 'closed') this.#outages = 0
    if (state !== 'half-open') {
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    for (const tell of this.#onState) tell(state)
  }
}

/** Whether the breaker refused the operation, which has not begun then. */
export const isRefusal = (error: unknown): boolean => error instanceof BreakerOpenError

/** For a gauge: 0 closed, 1 half-open, 2 open. */
export const breakerLevel = (state: BreakerState): number => state === 'closed' ? 0 : state === 'half-open' ? 1 : 2
