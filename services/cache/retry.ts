import { isLeaving, onLeaving } from './caller.js'
import { RetryBudget } from './retry-budget.js'

/** Times are milliseconds. */
export interface RetryPolicy {
  /** How often something is tried in all; 1 is never again. */
  attempts: number
  /** The longest pause before the second attempt; twice as long before each further one. */
  baseDelay: number
  /** The longest of all pauses. */
  maxDelay: number
  /** From the beginning of the first attempt: no other begins later. */
  deadline: number
  /** How many operations in a row have to be answered before a breaker that was open is closed. Default 3. */
  trials?: number
}

export const DEFAULT_POLICY: Readonly<RetryPolicy> = Object.freeze({ attempts: 4, baseDelay: 50, maxDelay: 2000, deadline: 5000, trials: 3 })

/**
 * What an error means for another attempt. `lost`: the other side could not be reached, or was lost, and nothing was done. `unsent`: there
 * is no connection, which the caller's own client knows: looking again costs the other side nothing, so that this is no attempt, and free.
 * `conflict`: it answered that something else stood in the way just now. `throttled`: it has too much to do, and is left alone for a part
 * of the pause at least. `denied`: another attempt is not to be made just now. `final`: trying again would bring the same, or do it twice.
 * `answer`: no failure of the other side at all.
 */
export type Verdict = 'lost' | 'unsent' | 'conflict' | 'throttled' | 'denied' | 'final' | 'answer'

/** What became of retries: `failed` are attempts after the first; `denied` by the budget or a breaker, `expired` by the deadline, `cancelled` by the caller. */
export type RetryOutcome = 'succeeded' | 'failed' | 'denied' | 'expired' | 'cancelled'
export const RETRY_OUTCOMES = ['succeeded', 'failed', 'denied', 'expired', 'cancelled'] as const satisfies RetryOutcome[]

/** A conflict is answered quickly, by a server that works. */
const PRICES = { lost: 1, unsent: 0, throttled: 1, conflict: 0.2 }

export interface RetryOptions {
  /** What is asked: for logs and metrics. */
  dependency: string
  /** Read before each attempt: it may change while running. */
  policy?: Readonly<RetryPolicy>
  budget?: RetryBudget
  /** Is told of every failure that is tried again after a pause of so many milliseconds, and of the last one of those that were tried again. */
  onRetry?: (error: unknown, attempt: number, pause: number | undefined) => void
  /** Milliseconds, never going back. */
  now?: () => number
  /** From 0 to 1. */
  random?: () => number
  pause?: (milliseconds: number, signal: AbortSignal | undefined) => Promise<unknown>
}

export interface RunOptions {
  judge: (error: unknown) => Verdict
  /** Ends a pause, and that another attempt is made, with its reason. */
  signal?: AbortSignal | undefined
  /** Milliseconds that are left in all, where the caller has fewer than the policy. */
  deadline?: number | undefined
  /** Attempts, where the caller wants fewer than the policy. */
  attempts?: number | undefined
}

/**
 * Milliseconds before a retry (the first is 1): exponential back-off with full jitter (Brooker, "Exponential Backoff and Jitter", AWS
 * 2015), so that callers who failed together do not come back together; where there is too much to do, with half of it fixed.
 */
export function pauseBefore (retry: number, { baseDelay, maxDelay }: Pick<RetryPolicy, 'baseDelay' | 'maxDelay'>, random: number, isThrottled = false): number {
  const longest = Math.min(maxDelay, baseDelay * 2 ** Math.min(retry - 1, 50))
  return isThrottled ? longest / 2 + random * longest / 2 : random * longest
}

/** Tries what is asked of one dependency again where that may help: bounded in attempts, in time, and over all callers by a budget. */
export class Retry {
  readonly dependency: string
  readonly budget: RetryBudget
  readonly counts: Record<RetryOutcome, number> = { succeeded: 0, failed: 0, denied: 0, expired: 0, cancelled: 0 }
  readonly policy: Readonly<RetryPolicy>
  readonly #options: Required<Pick<RetryOptions, 'onRetry' | 'now' | 'random' | 'pause'>>

  constructor ({ dependency, policy = DEFAULT_POLICY, budget, onRetry = () => {}, now = () => performance.now(), random = Math.random, pause = sleep }: RetryOptions) {
    this.dependency = dependency
    this.policy = policy
    this.budget = budget ?? new RetryBudget({ now })
    this.#options = { onRetry, now, random, pause }
  }

  /** @param operation gets the milliseconds that are left to it, and which attempt this is, from 1 on */
  async run<T> (operation: (left: number, attempt: number) => Promise<T>, options: RunOptions): Promise<T> {
    options.signal?.throwIfAborted()
    const begun = this.#options.now()
    let result: T
    try {
      result = await operation(Math.min(options.deadline ?? Infinity, this.policy.deadline), 1)
    } catch (error) {
      return await this.resume(error, begun, operation, options)
    }
    this.budget.succeeded()
    return result
  }

  /**
   * Goes on after a first attempt that failed: for who makes that one by itself, since most need no other.
   * @param begun when that was begun, by the clock `now`
   */
  async resume<T> (
    failure: unknown, begun: number, operation: (left: number, attempt: number) => Promise<T>, { judge, signal, deadline, attempts = Infinity }: RunOptions
  ): Promise<T> {
    const { now, onRetry } = this.#options
    const allowed = Math.min(deadline ?? Infinity, this.policy.deadline)
    let error = failure
    let isFirst = true
    for (let attempt = 1; ;) {
      const verdict = judge(error)
      if (!isFirst && verdict !== 'unsent' && verdict !== 'denied') this.counts[verdict === 'answer' ? 'succeeded' : 'failed']++
      if (verdict === 'answer') throw error
      const pause = this.#pauseAfter(verdict, attempt, allowed - (now() - begun), Math.min(attempts, this.policy.attempts))
      // Where there is no connection, everybody looks again, and the connection itself tells of that.
      if (verdict !== 'unsent' && (attempt > 1 || pause !== undefined)) onRetry(error, attempt, pause)
      if (pause === undefined) throw error
      await this.#wait(pause, signal)
      signal?.throwIfAborted()
      if (verdict !== 'unsent') attempt++
      isFirst = false
      try {
        const result = await operation(Math.max(0, allowed - (now() - begun)), attempt)
        this.budget.succeeded()
        this.counts.succeeded++
        return result
      } catch (again) {
        if (isLeaving(again, { signal })) {
          this.counts.cancelled++
          throw again
        }
        error = again
      }
    }
  }

  /** Milliseconds until the next attempt; undefined when there is none. */
  #pauseAfter (verdict: Exclude<Verdict, 'answer'>, attempt: number, left: number, attempts: number): number | undefined {
    if (verdict === 'final' || attempt >= attempts) return undefined
    if (verdict === 'denied') {
      this.counts.denied++
      return undefined
    }
    const pause = pauseBefore(verdict === 'unsent' ? 1 : attempt, this.policy, this.#options.random(), verdict === 'throttled')
    if (pause >= left) {
      this.counts.expired++
      return undefined
    }
    if (!this.budget.spend(PRICES[verdict])) {
      this.counts.denied++
      return undefined
    }
    return pause
  }

  async #wait (pause: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#options.pause(pause, signal)
    } catch (error) {
      if (!signal?.aborted) throw error
    }
    if (!signal?.aborted) return
    this.counts.cancelled++
    signal.throwIfAborted()
  }
}

async function sleep (milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      stay?.()
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    const stay = signal === undefined ? undefined : onLeaving(signal, end)
  })
}
