/** `closed` is the good state; `open` leaves the other side alone; `half-open` lets a few operations through to see. */
export type BreakerState = 'closed' | 'half-open' | 'open'

/** For how many milliseconds the other side is left alone after its outages. */
const LEAVE_ALONE = 1000
const BREAK_AFTER = 5
/**
 * One answer may be the luck of a server that is coming and going: closed on it, the breaker would take five more outages to open. With many (resilience4j
 * has ten) it would stay half-open for as many seconds where a request comes each second, and what is a trial is not tried again.
 */
const TRIALS = 3

/** An operation that is let through to see, by the phase it belongs to; 0 is any other operation. */
export type Trial = number

export interface BreakerOptions {
  /** Whether the other side is in trouble; any other error is an answer of its. */
  isOutage: (error: unknown) => boolean
  /** Consecutive outages after which the other side is left alone. Default 5. */
  breakAfter?: number
  /** Milliseconds for which it is then left alone, before an operation is let through to see. Default 1000. */
  leaveAlone?: number
  /** How many in a row have to be answered then, asked whenever one was: it may change while running. Default, and where it is undefined, 3. */
  trials?: () => number | undefined
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

/**
 * A circuit breaker (Nygard, "Release It!"): leaves alone what does not answer, so that nobody waits for it in vain. Half-open, it lets one operation
 * through: against a server that hangs each of them costs its caller a deadline. Once that one is answered as many more may be under way as are still wanted;
 * whoever comes meanwhile waits for what becomes of them. The first outage among them opens it again. Where few requests come, it stays half-open
 * until there have been enough, and each of them is let through.
 */
export class Breaker {
  readonly #isOutage
  readonly #breakAfter: number
  readonly #leaveAlone: number
  readonly #trials: () => number | undefined
  readonly #onState: ((state: BreakerState) => void)[]
  #state: BreakerState = 'closed'
  #since = Date.now()
  #outages = 0
  #isHeld = false
  /** When the last outage was counted, and when the breaker opened, on the clock of `performance`. */
  #countedAt = -Infinity
  #openedAt = -Infinity
  /** Counts the times that it was half-open: what was let through in an earlier one decides nothing any more. */
  #phase: Trial = 0
  /** Of this one: trials that are under way, and that were answered. */
  #underWay = 0
  #answered = 0
  /** Those who wait for what becomes of the trials; told 0 when it is decided, else that they are one themselves. */
  #waiting: ((trial: Trial) => void)[] = []

  constructor ({ isOutage, breakAfter = BREAK_AFTER, leaveAlone = LEAVE_ALONE, trials = () => undefined, onState }: BreakerOptions) {
    this.#isOutage = isOutage
    this.#breakAfter = breakAfter
    this.#leaveAlone = leaveAlone
    this.#trials = trials
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
    const trial = this.#state === 'closed' ? 0 : await this.enter()
    try {
      const result = await operation()
      this.succeeded(trial)
      return result
    } catch (error) {
      if (this.#isOutage(error)) this.failed(trial)
      else if (trial !== 0) this.succeeded(trial)
      throw error
    }
  }

  /**
   * Asks whether an operation may begin, where the state is not `closed`; whoever comes while others are let through waits for what becomes of them. Its end has
   * to be told.
   * @returns whether it is one of those that are let through
   * @throws BreakerOpenError
   */
  async enter (): Promise<Trial> {
    this.check()
    if (this.#state === 'open') this.#become('half-open')
    if (this.#state === 'closed') return 0
    if (this.#mayTry()) {
      this.#underWay++
      return this.#phase
    }
    const trial = await new Promise<Trial>((resolve) => { this.#waiting.push(resolve) })
    // It may have been closed or opened by now, also by hand.
    const { state } = this
    if (state === 'open' || (state === 'half-open' && trial !== this.#phase)) throw new BreakerOpenError()
    return state === 'closed' ? 0 : trial
  }

  /** The other side has answered. */
  succeeded (trial: Trial): void {
    this.#outages = 0
    // One that was closed or opened by hand meanwhile stays as it is.
    if (!this.#isDecisive(trial)) return
    this.#underWay--
    this.#answered++
    if (this.#answered >= this.#wanted) return this.#become('closed')
    this.#letThrough()
  }

  /** What was let through has not begun, since its caller has gone: another one may in its place. */
  withdraw (trial: Trial): void {
    if (!this.#isDecisive(trial)) return
    this.#underWay--
    this.#letThrough()
  }

  /**
   * The other side is in trouble.
   * @param begun when the operation that failed began, where it failed together with others as one connection was lost: that is one outage
   */
  failed (trial: Trial, begun = Infinity): void {
    const isDecisive = this.#isDecisive(trial)
    if (begun <= this.#countedAt && !isDecisive) return
    const now = performance.now()
    this.#countedAt = now
    this.#outages++
    if (isDecisive || (this.#state === 'closed' && this.#outages >= this.#breakAfter)) {
      this.#openedAt = now
      this.#become('open')
    }
  }

  get #wanted (): number { return this.#trials() ?? TRIALS }

  #mayTry (): boolean { return this.#underWay < (this.#answered === 0 ? 1 : Math.max(1, this.#wanted - this.#answered)) }

  #letThrough (): void {
    while (this.#waiting.length > 0 && this.#mayTry()) {
      this.#underWay++
      this.#waiting.shift()!(this.#phase)
    }
  }

  #isDecisive (trial: Trial): boolean { return trial === this.#phase && this.#state === 'half-open' }

  #become (state: BreakerState): void {
    if (state !== this.#state) this.#since = Date.now()
    this.#state = state
    if (state === 'closed') this.#outages = 0
    if (state === 'half-open') {
      this.#phase++
      this.#underWay = this.#answered = 0
    } else {
      for (const resolve of this.#waiting.splice(0)) resolve(0)
    }
    for (const tell of this.#onState) tell(state)
  }
}

/** Whether the breaker refused the operation, which has not begun then. */
export const isRefusal = (error: unknown): boolean => error instanceof BreakerOpenError

/** For a gauge: 0 closed, 1 half-open, 2 open. */
export const breakerLevel = (state: BreakerState): number => state === 'closed' ? 0 : state === 'half-open' ? 1 : 2
