import { Breaker, type BreakerOptions, type BreakerState, type BreakerSwitch, isRefusal, type Trial } from './breaker.js'
import { type Caller, isLeaving, throwIfGone, unlessGone } from './caller.js'
import { withDeadline } from './deadline.js'
import type { Retry, Verdict } from './retry.js'
import { NoTurnError, type Place, type Turns } from './turns.js'

/**
 * How many deadlines an operation may take while the other side answers others: it is behind with its work then, and not gone. Only one
 * that says nothing at all is given up after a single one.
 */
export const WHILE_ANSWERING = 4
/**
 * Milliseconds that one waits for its turn while the other side answers others. What it waits for then is the work of this process, of which a burst (thousands of
 * misses, some batches) may be more than four deadlines' worth: to give it up would only leave the cache empty. As long as `retry.deadline` has for a connection.
 */
export const PATIENCE = 5000

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
  /** Each try waits for one: nobody has one while it pauses. Default: all are made at once. */
  turns?: Turns
  /** Milliseconds to wait for a turn while the other side answers others. Default 5000. */
  patience?: number
}

/** An operation, on the clock of `performance`. */
interface Run {
  readonly askedAt: number
  /** When its first try began; Infinity before. */
  begunAt: number
  /** From when on it may be tried again for a deadline: from when it was asked for, or the other side last answered before it began. */
  from: number
  place: Place | undefined
  hasTurn: boolean
  trial: Trial
  /** Its time was over before there was an answer. */
  isLate: boolean
  /** Nobody waits for its first try any more. */
  isOver: boolean
}

/**
 * What stands between this process and something that may be slow, down or hung: a deadline for each operation, retries within it where
 * they are asked for, and a circuit breaker.
 */
export class Resilience {
  readonly #breaker: Breaker
  readonly #options: ResilienceOptions
  /** When the other side last answered anything in time, on the clock of `performance`. */
  #answeredAt = -Infinity
  /** See `#turnNow`; 0 before it is asked for. */
  #turnAt = 0

  constructor (options: ResilienceOptions) {
    this.#options = options
    const { retry } = options
    this.#breaker = new Breaker({ trials: () => retry?.policy.trials, ...options })
  }

  get state (): BreakerState { return this.#breaker.state }

  /** The breaker, for operators. */
  get switch (): BreakerSwitch { return this.#breaker }

  /** When the other side last answered anything in time, on the clock of `performance`; -Infinity where it has not yet. */
  get answeredAt (): number { return this.#answeredAt }

  /**
   * @param deadline milliseconds for the operation with all its tries, from when it is asked for, the wait for its turn included; those of the first try are counted
   * from the last answer to any operation: a server that works through a thousand of them is not hung. At most four times as many then for the first try, behind
   * at most five seconds for its turn.
   * @param repeatable default: the operation is not tried again
   * @param isUrgent whether it waits for no turn: for what is asked now and then, and tells whether anything can be relied on
   * @param caller who leaves before a try is begun waits no longer, and it is not begun
   * @throws DeadlineError when it passed; NoTurnError when too many wait, or it passed while the other side answered others, and nothing has begun then; an error for
   * which `isRefusal` holds when the breaker was open, and what the operation throws
   */
  async run<T> (operation: () => Promise<T>, deadline: number, repeatable?: Repeatable, isUrgent = false, caller?: Caller): Promise<T> {
    const { retry } = this.#options
    const turns = isUrgent ? undefined : this.#options.turns
    const run: Run = { askedAt: performance.now(), begunAt: Infinity, from: 0, place: undefined, hasTurn: false, trial: 0, isLate: false, isOver: false }
    const first = turns === undefined ? this.#begin(operation, run) : this.#inTurn(turns, operation, run, deadline)
    const waited = run.begunAt === Infinity ? unlessGone(first, caller, () => giveUp(run)) : first
    try {
      const result = await withDeadline(waited, deadline, () => this.#left(run, deadline, this.#turnNow()))
      this.#breaker.succeeded(run.trial)
      if (run.hasTurn) turns?.pass()
      retry?.budget.succeeded()
      return result
    } catch (error) {
      run.isOver = true
      const isAgain = retry !== undefined && repeatable !== undefined && run.trial === 0 && run.begunAt !== Infinity
      const hasLeft = isLeaving(error, caller)
      if (!isAgain && !hasLeft) this.#count(error, run, deadline)
      // What is counted is counted before the next one begins.
      if (run.hasTurn) turns?.pass()
      else if (run.place !== undefined) turns?.leave(run.place)
      if (isAgain) return await this.#again(error, run, operation, deadline, retry, repeatable, turns, caller)
      throw !hasLeft && run.isLate && run.begunAt === Infinity && this.#hasAnswered(deadline) ? new NoTurnError('No turn has come in time') : error
    }
  }

  /** Begins in its turn, before it gives control back where there is one. */
  #inTurn<T> (turns: Turns, operation: () => Promise<T>, run: Run, deadline: number): Promise<T> {
    if (turns.begin()) {
      run.hasTurn = true
      return this.#begin(operation, run)
    }
    // Who would be refused then need not wait for it.
    this.#breaker.check()
    return new Promise<T>((resolve) => {
      run.place = turns.queue(() => {
        // It is about to be given up, and would be sent in vain.
        if (run.isOver || this.#left(run, deadline, performance.now()) <= 0) return false
        run.hasTurn = true
        resolve(this.#begin(operation, run))
        return true
      })
    })
  }

  async #begin<T> (operation: () => Promise<T>, run: Run): Promise<T> {
    if (this.#breaker.state !== 'closed') {
      run.trial = await this.#breaker.enter()
      // It has waited for what became of others, and longer than it may.
      if (run.isOver) {
        this.#breaker.withdraw(run.trial)
        throw NOT_SENT
      }
    }
    run.begunAt = performance.now()
    run.from = Math.max(run.askedAt, this.#answeredAt)
    try {
      const result = await operation()
      if (!run.isOver) this.#answeredAt = performance.now()
      return result
    } catch (error) {
      if (!run.isOver && !this.#options.isOutage(error)) this.#answeredAt = performance.now()
      throw error
    }
  }

  /** Milliseconds that the first try still has. */
  #left (run: Run, deadline: number, now: number): number {
    const most = run.begunAt === Infinity ? run.askedAt + Math.max(deadline, this.#options.patience ?? PATIENCE) : run.begunAt + WHILE_ANSWERING * deadline
    const left = Math.min(Math.max(run.askedAt, this.#answeredAt) + deadline, most) - now
    run.isLate = left <= 0
    return left
  }

  /** Goes on after a first try that failed. */
  async #again<T> (
    failure: unknown, run: Run, operation: () => Promise<T>, deadline: number, retry: Retry, repeatable: Repeatable, turns: Turns | undefined, caller: Caller | undefined
  ): Promise<T> {
    const { isConnected = () => true } = this.#options
    const end = run.from + deadline
    const further = async (): Promise<T> => {
      if (!isConnected()) throw NOT_SENT
      if (turns !== undefined && !await turns.wait(end - performance.now(), caller)) {
        throwIfGone(caller)
        throw NOT_SENT
      }
      try {
        const left = end - performance.now()
        // It may have waited for its turn meanwhile.
        if (this.#breaker.state !== 'closed' || repeatable.isOvertaken?.() === true || left <= 0) throw NOT_SENT
        return await this.#try(operation, left)
      } finally {
        turns?.pass()
      }
    }
    try {
      const result = await retry.resume(failure, run.from, further, { judge: (error) => this.#judge(error, repeatable), signal: caller?.signal, deadline })
      this.#breaker.succeeded(0)
      return result
    } catch (error) {
      const hasLeft = isLeaving(error, caller)
      // That somebody has left says nothing of the other side.
      const last = error === NOT_SENT || hasLeft ? failure : error
      this.#count(last, run, deadline)
      throw hasLeft ? error : last
    }
  }

  async #try<T> (operation: () => Promise<T>, milliseconds: number): Promise<T> {
    try {
      const result = await withDeadline(operation(), milliseconds)
      this.#answeredAt = performance.now()
      return result
    } catch (error) {
      if (!this.#options.isOutage(error)) this.#answeredAt = performance.now()
      throw error
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

  /** Tells the breaker of an operation that has failed. */
  #count (error: unknown, run: Run, deadline: number): void {
    const { isOutage, passing } = this.#options
    if (isRefusal(error) || error instanceof NoTurnError) return
    if (!isOutage(error)) {
      if (run.trial !== 0) this.#breaker.succeeded(run.trial)
    } else if (!run.isLate || run.trial !== 0 || this.#isOutOfOrder(run, deadline)) {
      this.#breaker.failed(run.trial, passing?.(error) === 'lost' ? run.begunAt : Infinity)
    }
  }

  /**
   * Whether it says something about the other side that an operation was late. Not where that has answered others meanwhile, and only the queue was too long. Those
   * that wait while it is left alone do not wait for it.
   */
  #isOutOfOrder ({ begunAt }: Run, deadline: number): boolean {
    if (begunAt === Infinity) return this.#breaker.state === 'closed' && !this.#hasAnswered(deadline)
    return !this.#hasAnswered(deadline) || this.#turnNow() - begunAt >= WHILE_ANSWERING * deadline
  }

  /** Whether the other side has said something within the last so many milliseconds. */
  #hasAnswered (milliseconds: number): boolean { return this.#turnNow() - this.#answeredAt < milliseconds }

  /**
   * The time when this turn of the event loop first asked for it. Thousands that are given up in one turn take a while, in which nothing is read: that is no silence of
   * the other side.
   */
  #turnNow (): number {
    if (this.#turnAt === 0) {
      this.#turnAt = performance.now()
      setImmediate(() => { this.#turnAt = 0 })
    }
    return this.#turnAt
  }
}

/** Whether it was not begun: it will not be. */
function giveUp (run: Run): boolean {
  if (run.begunAt !== Infinity) return false
  run.isOver = true
  return true
}

/** Nothing is sent without a connection, or once it is too late. */
const NOT_SENT = new Error('Nothing was sent')
