import { Buckets } from './buckets.js'
import type { Decision, Policy } from './gcra.js'
import type { Rate } from './rates.js'

/**
 * The rates that hold together for each caller, and how far each has used them up in this process. Two quotas of the same scope are
 * the same bucket, in Redis too.
 */
export class Quota {
  /** What it is for: part of the name in Redis. */
  readonly scope: string
  readonly policies: readonly Policy[]
  readonly buckets: Buckets
  /** The header RateLimit-Policy, which never changes. */
  readonly policyHeader: string
  /** The cheapest thing that this can never permit costs one more. */
  readonly largestCost: number
  /** Refusals, by the place of the policy. */
  readonly refusals: number[]
  readonly #heads: readonly string[]

  /** @param prefix in front of the rates' names: `key-` makes `key-per-minute` */
  constructor (scope: string, rates: readonly Rate[], { prefix = '', buckets = new Buckets() }: { prefix?: string, buckets?: Buckets } = {}) {
    this.scope = scope
    this.policies = rates.map(({ quota, window, name }) => ({ quota, window, name: prefix + name, interval: window / quota }))
    this.buckets = buckets
    this.policyHeader = this.policies.map(({ name, quota, window }) => `"${name}";q=${quota};w=${Math.max(1, Math.ceil(window / 1000))}`).join(', ')
    this.largestCost = Math.min(...rates.map(({ quota }) => quota))
    this.refusals = rates.map(() => 0)
    this.#heads = this.policies.map(({ name }, at) => `${at === 0 ? '' : ', '}"${name}";r=`)
  }

  /** The header RateLimit: what is left, and in how many seconds there is more. */
  header ({ remaining, next, isPerProcess }: Decision): string {
    let text = ''
    for (let i = 0; i < this.#heads.length; i++) text += this.#heads[i]! + remaining[i]! + ';t=' + Math.ceil(next[i]! / 1000)
    return isPerProcess ? `${text};detail="per-process"` : text
  }
}
