import { type Caller, unlessGone } from '../caller.js'
import { DeadlineError, withDeadline } from '../deadline.js'
import { BackendUnavailableError } from '../errors.js'
import { PATIENCE } from '../resilience.js'
import { MOST_WAITING, type QueueState } from '../turns.js'
import { busy } from './guard.js'

export interface PatienceOptions {
  /** Of the backend. */
  name: string
  /** What to say to whoever waits for the server while it is away. */
  away: string
  /** Milliseconds to wait for a server that answers nothing; five seconds for one that answers others. */
  deadline: number
  /** When the server last answered anything, on the clock of `performance`. */
  answeredAt: () => number
}

/** Timers overflow past it. */
const ENDLESS = 2 ** 31 - 1
const GONE = new Error('Nobody waits for it any more')

/**
 * Bounds the wait for others in this process, in number and in time, where work consists of several operations, each of which has a deadline
 * of its own once the work has begun.
 */
export class Patience implements QueueState {
  readonly #options: PatienceOptions
  #waiting = 0
  #refused = 0
  #late = 0

  constructor (options: PatienceOptions) { this.#options = options }

  get waiting (): number { return this.#waiting }
  get refused (): number { return this.#refused }
  get late (): number { return this.#late }

  /**
   * @param enter has what it is given begin when it may: it rejects, and begins nothing, where nobody waits for it any more
   * @param caller who leaves waits no longer
   * @throws BackendUnavailableError when too many wait, or it took too long; and what the work throws
   */
  async take<T> (work: () => Promise<T>, enter: (begin: () => Promise<T>) => Promise<T>, caller?: Caller): Promise<T> {
    const { name, away, deadline, answeredAt } = this.#options
    if (this.#waiting >= MOST_WAITING) {
      this.#refused++
      throw busy(name)
    }
    const askedAt = performance.now()
    let isWaiting = true
    this.#waiting++
    const leave = (): boolean => {
      const wasWaiting = isWaiting
      if (wasWaiting) this.#waiting--
      isWaiting = false
      return wasWaiting
    }
    const entered = enter(async () => {
      if (!leave()) throw GONE
      return await work()
    })
    const left = (): number => isWaiting
      ? Math.min(Math.max(askedAt, answeredAt()) + deadline, askedAt + Math.max(deadline, PATIENCE)) - performance.now()
      : ENDLESS
    try {
      return isWaiting ? await withDeadline(unlessGone(entered, caller, leave), deadline, left) : await entered
    } catch (error) {
      // What fails before it has begun fails with what it waited for.
      if (!leave() || !(error instanceof DeadlineError)) throw error
      this.#late++
      throw performance.now() - answeredAt() < deadline ? busy(name) : new BackendUnavailableError(away)
    }
  }
}
