import { DEFAULT_POLICY, Retry, RETRY_OUTCOMES, type RetryPolicy } from './cache/retry.js'
import { AttemptFault } from './database/faults.js'
import type { Sample } from './metrics.js'

export interface RetriesOptions {
  log: { info (detail: object, message: string): void, warn (detail: object, message: string): void }
}

/** What is tried again in this process: one policy for all, which may change while running, and for each dependency a budget and counts. */
export class Retries {
  readonly #policy: RetryPolicy = { ...DEFAULT_POLICY }
  readonly #log: RetriesOptions['log']
  readonly #all = new Map<string, Retry>()

  constructor ({ log }: RetriesOptions) {
    this.#log = log
  }

  get policy (): Readonly<RetryPolicy> { return this.#policy }

  /** In force from the next attempt on. */
  configure (changes: Partial<RetryPolicy>): void {
    Object.assign(this.#policy, changes)
  }

  /** Everybody who asks the same dependency shares one. */
  of (dependency: string): Retry {
    const known = this.#all.get(dependency)
    if (known !== undefined) return known
    const retry = new Retry({
      dependency,
      policy: this.#policy,
      onRetry: (error, attempt, pause) => {
        const detail = { dependency, attempt, reason: reasonOf(error), ...pause === undefined ? {} : { pause: Math.round(pause) } }
        if (pause === undefined) this.#log.warn(detail, 'given up after several attempts')
        else this.#log.info(detail, 'an attempt failed: it is made again')
      }
    })
    this.#all.set(dependency, retry)
    return retry
  }

  samples (): Sample[] {
    return [...this.#all.values()].flatMap(({ dependency, counts, budget }): Sample[] => [
      ...RETRY_OUTCOMES.map((outcome): Sample => ({
        name: 'larder_retries_total',
        help: 'Attempts after the first that succeeded or failed, and those that were not made: denied by the budget or a breaker, expired with the deadline, cancelled with the request',
        type: 'counter',
        labels: { dependency, outcome },
        value: counts[outcome]
      })),
      { name: 'larder_retry_budget', help: 'Retries that all callers together have left', type: 'gauge', labels: { dependency }, value: budget.left }
    ])
  }
}

/** A message of PostgreSQL may repeat what somebody sent: its code says enough. */
function reasonOf (error: unknown): string {
  const fault = error instanceof AttemptFault ? error.fault : error
  const { code, message } = fault as { code?: unknown, message?: unknown }
  return String(code ?? message)
}
