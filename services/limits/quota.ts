import { Buckets } from './buckets.js'
import type { Decision, Policy } from './gcra.js'
import type { Rate } from './rates.js'

export interface QuotaOptions {
  /** In front of the rates' names: `key-` makes `key-per-minute`. */
  prefix?: string
  buckets?: Buckets
  /** Refusals so far, by the name of the policy; those by one of more than 32 names as `other`. */
  refusals?: Map<string, number>
}

/** Names of policies that refusals are counted under, in one map: whoever sets limits names them, and each name is a series of the metrics. */
const MOST_NAMES = 32

/**
 * The rates that hold together for each caller, and how far each has used them up in this process. Two quotas of the same scope are
 * the same bucket, in Redis too.
 */
export class Quota {
  /** What it is for: part of the name in Redis. */
  readonly scope: string
  readonly rates: readonly Rate[]
  readonly policies: readonly Policy[]
  readonly buckets: Buckets
  /** The header RateLimit-Policy, which never changes. */
  readonly policyHeader: string
  /** The cheapest thing that this can never permit costs one more. */
  readonly largestCost: number
  /** Refusals, by the name of the policy. */
  readonly refusals: Map<string, number>
  /** What the refusals by each policy are counted under. */
  readonly #counted: readonly string[]
  readonly #heads: readonly string[]
  readonly #prefix: string
  readonly #policyLine: string
  #isOver = false

  constructor (scope: string, rates: readonly Rate[], { prefix = '', buckets = new Buckets(), refusals = new Map<string, number>() }: QuotaOptions = {}) {
    this.scope = scope
    this.rates = rates
    this.policies = rates.map(({ quota, window, name }) => ({ quota, window, name: prefix + name, interval: window / quota }))
    this.buckets = buckets
    this.policyHeader = this.policies.map(({ name, quota, window }) => `"${name}";q=${quota};w=${Math.max(1, Math.ceil(window / 1000))}`).join(', ')
    this.#policyLine = `ratelimit-policy: ${this.policyHeader}\r\nratelimit: `
    this.largestCost = Math.min(...rates.map(({ quota }) => quota))
    this.#prefix = prefix
    this.refusals = refusals
    this.#counted = this.policies.map(({ name }) => {
      const counted = refusals.has(name) || refusals.size < MOST_NAMES ? name : `${prefix}other`
      refusals.set(counted, refusals.get(counted) ?? 0)
      return counted
    })
    this.#heads = this.policies.map(({ name }, at) => `${at === 0 ? '' : ', '}"${name}";r=`)
  }

  /** Whether other rates have taken its place. */
  get isOver (): boolean { return this.#isOver }

  /**
   * What takes its place: other rates for the same callers, who have used up as much as before.
   * @param now on the clock of the limiter
   */
  succeededBy (rates: readonly Rate[], now: number): Quota {
    const successor = new Quota(this.scope, rates, { prefix: this.#prefix, buckets: this.buckets, refusals: this.refusals })
    this.buckets.carryOver(this.policies, successor.policies, now)
    this.#isOver = true
    return successor
  }

  /** Counts a refusal. */
  refuse ({ violated }: Decision): void {
    const name = this.#counted[violated]!
    this.refusals.set(name, (this.refusals.get(name) ?? 0) + 1)
  }

  /** Both headers as lines. */
  lines (decision: Decision): string {
    return `${this.#policyLine}${this.header(decision)}\r\n`
  }

  /** The header RateLimit: what is left, and in how many seconds there is more. */
  header ({ remaining, next, isPerProcess }: Decision): string {
    let text = ''
    for (let i = 0; i < this.#heads.length; i++) text += this.#heads[i]! + remaining[i]! + ';t=' + Math.ceil(next[i]! / 1000)
    return isPerProcess ? `${text};detail="per-process"` : text
  }
}
