export interface RetryBudgetOptions {
  /** Retries that may be made at once. Default 10. */
  capacity?: number
  /** What each success gives back. Default 0.1. */
  perSuccess?: number
  /** What each second gives back, for those who seldom ask. Default 0.5. */
  perSecond?: number
  /** Milliseconds, never going back. */
  now?: () => number
}

/**
 * What all callers of one dependency together may spend on retries (the retry throttling of gRPC's proposal A6, a token bucket): a
 * dependency that is down meets little more than what is asked of it anyway, however many callers would each try four times.
 */
export class RetryBudget {
  readonly #capacity: number
  readonly #perSuccess: number
  readonly #perSecond: number
  readonly #now: () => number
  #tokens: number
  #at: number

  constructor ({ capacity = 10, perSuccess = 0.1, perSecond = 0.5, now = () => performance.now() }: RetryBudgetOptions = {}) {
    this.#capacity = capacity
    this.#perSuccess = perSuccess
    this.#perSecond = perSecond
    this.#now = now
    this.#tokens = capacity
    this.#at = now()
  }

  /** Retries that are left. */
  get left (): number {
    const now = this.#now()
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#at) / 1000 * this.#perSecond)
    this.#at = now
    return this.#tokens
  }

  /** Pays for a retry; false when there is too little left. */
  spend (price: number): boolean {
    if (this.left < price) return false
    this.#tokens -= price
    return true
  }

  /** An operation has succeeded. */
  succeeded (): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#perSuccess)
  }
}
