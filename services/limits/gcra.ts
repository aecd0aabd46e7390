import type { Rate } from './rates.js'

/** A rate as it is kept: GCRA's emission interval beside it. */
export interface Policy extends Rate {
  /** Milliseconds after which one more request is permitted. */
  readonly interval: number
}

/** What became of a request that asked for a part of its quota. Valid until the next one is asked for. */
export interface Decision {
  isAllowed: boolean
  /** What is left of each policy, in whole requests. */
  readonly remaining: number[]
  /** Milliseconds until one more is left, by policy; 0 when there is all of it. */
  readonly next: number[]
  /** Milliseconds after which the same would be allowed, if nobody else asked. */
  retryAfter: number
  /** The place of the policy that has to be waited for longest. */
  violated: number
  /** Which policies refused. */
  readonly violations: boolean[]
  /** Redis is away: the limits hold in each process by itself. */
  isPerProcess: boolean
}

export function newDecision (): Decision {
  return { isAllowed: true, remaining: [], next: [], retryAfter: 0, violated: 0, violations: [], isPerProcess: false }
}

/** Rounding of sums of fractions must not take a request from anybody. In milliseconds. */
const TOLERANCE = 1e-6

/**
 * Judges by GCRA, the generic cell rate algorithm (ITU-T I.371), from how far ahead of now the theoretical arrival times are: no windows,
 * so no edges of windows. All policies permit, or nothing is charged.
 * @param ahead milliseconds, by policy, at least 0; on return with the charge where it is allowed
 */
export function judge (policies: readonly Policy[], ahead: number[], cost: number, decision: Decision): Decision {
  decision.isAllowed = true
  decision.retryAfter = 0
  for (let i = 0; i < policies.length; i++) {
    const { window, interval } = policies[i]!
    const over = ahead[i]! + cost * interval - window
    const isOver = over > TOLERANCE
    decision.violations[i] = isOver
    if (isOver && over > decision.retryAfter) {
      decision.isAllowed = false
      decision.retryAfter = over
      decision.violated = i
    }
  }
  if (decision.isAllowed) for (let i = 0; i < policies.length; i++) ahead[i] = ahead[i]! + cost * policies[i]!.interval
  describe(policies, ahead, decision)
  return decision
}

/** What is left when the theoretical arrival times are so far ahead. */
export function describe (policies: readonly Policy[], ahead: readonly number[], decision: Decision): void {
  for (let i = 0; i < policies.length; i++) {
    const { window, interval, quota } = policies[i]!
    const free = window - ahead[i]!
    const units = Math.min(quota, Math.max(0, Math.floor((free + TOLERANCE) / interval)))
    decision.remaining[i] = units
    decision.next[i] = units === quota ? 0 : Math.max(0, (units + 1) * interval - free)
  }
}
