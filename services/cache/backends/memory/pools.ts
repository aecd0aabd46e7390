import { UnsupportedOperationError } from '../../errors.js'
import type { Limits, Quota } from '../../limits.js'
import type { SlotState } from '../../policies/slot-state.js'
import { Pool } from './pool.js'

/**
 * One pool for each namespace with a quota, and a common one with the rest of the limits for all others. A quota is reserved: the
 * limits of all pools together are those of the backend.
 */
export class Pools {
  readonly common: Pool
  #state: SlotState
  #quotas: ReadonlyMap<string, Quota> = new Map()
  /** Those of quotas that are no more, too, until they are empty. */
  #own = new Map<string, Pool>()

  constructor (state: SlotState, limits: Limits) {
    this.#state = state
    this.common = new Pool(state, limits)
    this.configure(limits)
  }

  quota (namespace: string): Quota | undefined { return this.#quotas.get(namespace) }

  /** The pool of the namespace's own, which may be that of a quota that is no more. */
  own (namespace: string): Pool | undefined { return this.#own.get(namespace) }

  /** Where what is written to the namespace goes. */
  of (namespace: string): Pool {
    return this.#quotas.size > 0 && this.#quotas.has(namespace) ? this.#own.get(namespace) as Pool : this.common
  }

  /** A pool that holds more than it may, undefined when none does. */
  over (): Pool | undefined {
    if (this.common.isOver) return this.common
    for (const pool of this.#own.values()) if (pool.isOver) return pool
    return undefined
  }

  /**
   * Takes new limits. They count for what is written from now on.
   * @returns the namespaces whose entries are in another pool than they belong to
   */
  configure (limits: Limits): string[] {
    const { maxItems, maxMemory, quotas = new Map<string, Quota>() } = limits
    const reserved = reservedBy(quotas)
    const moved = [...quotas.keys()].filter((namespace) => !this.#quotas.has(namespace))
    for (const namespace of this.#quotas.keys()) {
      if (quotas.has(namespace)) continue
      moved.push(namespace)
      Object.assign(this.#own.get(namespace) as Pool, { maxItems: 0, maxMemory: 0 })
    }
    for (const [namespace, quota] of quotas) {
      const pool = this.#own.get(namespace)
      if (pool === undefined) this.#own.set(namespace, new Pool(this.#state, quota))
      else Object.assign(pool, { maxItems: quota.maxItems, maxMemory: quota.maxMemory })
    }
    this.#quotas = quotas
    this.common.maxItems = maxItems - reserved.maxItems
    this.common.maxMemory = maxMemory - reserved.maxMemory
    return moved
  }

  /** Forgets the pool of a quota that is no more. */
  close (namespace: string): void {
    if (!this.#quotas.has(namespace) && this.#own.get(namespace)?.items === 0) this.#own.delete(namespace)
  }
}

/** @throws UnsupportedOperationError for quotas that are more, together, than there is */
export function checkQuotas ({ maxItems, maxMemory, quotas }: Limits): void {
  if (quotas === undefined) return
  const reserved = reservedBy(quotas)
  for (const [name, sum, limit] of [['max_items', reserved.maxItems, maxItems], ['max_memory', reserved.maxMemory, maxMemory]] as const) {
    if (sum > limit) {
      throw new UnsupportedOperationError(
        `The quotas of all namespaces come to ${sum} for ${name}, more than the ${limit} of the backend: raise that, or lower a quota.`)
    }
  }
}

function reservedBy (quotas: ReadonlyMap<string, Quota>): Quota {
  const sum = { maxItems: 0, maxMemory: 0 }
  for (const { maxItems, maxMemory } of quotas.values()) {
    sum.maxItems += maxItems
    sum.maxMemory += maxMemory
  }
  return sum
}
