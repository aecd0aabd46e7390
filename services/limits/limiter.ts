import type { BreakerState } from '../cache/breaker.js'
import { type Decision, describe, judge, newDecision } from './gcra.js'
import type { Quota } from './quota.js'
import type { Rate } from './rates.js'
import type { SharedCounter } from './shared-counter.js'

/**
 * Says who may go on. With Redis a bucket is shared by all processes, and this one remembers how far its callers are at least: who is known
 * to have used up a quota is refused without asking, and when Redis does not answer the limits hold from there on, in each process by itself.
 */
export class Limiter {
  /** undefined: there is no Redis, and a bucket is this process's. */
  shared: SharedCounter | undefined
  readonly #now: () => number
  readonly #decision = newDecision()

  /** @param now milliseconds, never going back */
  constructor (now: () => number = () => performance.now()) { this.#now = now }

  /** Of the breaker in front of Redis. */
  get state (): BreakerState { return this.shared?.state ?? 'closed' }

  /**
   * Charges the caller, unless that is more than it has left. A decision that is answered at once holds until the next is asked for.
   * @param cost in requests, at most `quota.largestCost`
   * @param refund what is given back when it is refused: the request's own first charge
   */
  take (quota: Quota, caller: string, cost: number, refund = 0): Decision | Promise<Decision> {
    const { buckets, policies } = quota
    const now = this.#now()
    if (this.shared === undefined) return this.#takeHere(quota, caller, cost, refund, now, false)
    // What is given back is given back there.
    const known = refund > 0 ? undefined : buckets.look(caller, policies, cost, now, this.#decision)
    if (known?.isAllowed === false) return this.#refuse(quota, caller, cost, refund, now)
    return this.#takeShared(this.shared, quota, caller, cost, refund)
  }

  /** Puts other rates in the place of a quota's, from where its callers are. */
  change (quota: Quota, rates: readonly Rate[]): Quota {
    return quota.succeededBy(rates, this.#now())
  }

  /** What would become of one more request, by what this process knows; undefined when it knows nothing. */
  look ({ buckets, policies }: Quota, caller: string): Decision | undefined {
    return buckets.look(caller, policies, 1, this.#now(), this.#decision)
  }

  #takeHere (quota: Quota, caller: string, cost: number, refund: number, now: number, isPerProcess: boolean): Decision {
    const decision = quota.buckets.take(caller, quota.policies, cost, now, this.#decision)
    if (!decision.isAllowed) return this.#refuse(quota, caller, cost, refund, now)
    decision.isPerProcess = isPerProcess
    return decision
  }

  async #takeShared (shared: SharedCounter, quota: Quota, caller: string, cost: number, refund: number): Promise<Decision> {
    const { buckets, policies } = quota
    const sent = this.#now()
    try {
      const { isAllowed, ahead } = await shared.take(quota, caller, cost, refund, [...buckets.ahead(caller, policies, sent).slice(0, policies.length)])
      // Redis counted later than `sent`: what is remembered is never more than what it has.
      if (!quota.isOver) buckets.learn(caller, ahead, sent, refund > 0 && !isAllowed)
      const decision = newDecision()
      if (isAllowed) describe(policies, ahead, decision)
      else judge(policies, ahead, cost + refund, decision)
      return decision
    } catch {
      // The breaker has told why.
      return copy(this.#takeHere(quota, caller, cost, refund, this.#now(), true))
    }
  }

  /** A refusal by what is known here. */
  #refuse (quota: Quota, caller: string, cost: number, refund: number, now: number): Decision {
    const { buckets, policies } = quota
    if (refund > 0) {
      const ahead = buckets.ahead(caller, policies, now)
      buckets.learn(caller, policies.map(({ interval }, i) => Math.max(0, ahead[i]! - refund * interval)), now, true)
    }
    const decision = this.#decision
    buckets.look(caller, policies, cost + refund, now, decision)
    decision.isPerProcess = this.state !== 'closed'
    return decision
  }
}

function copy (decision: Decision): Decision {
  return { ...decision, remaining: [...decision.remaining], next: [...decision.next], violations: [...decision.violations] }
}
