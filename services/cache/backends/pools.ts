import type { Limits, Quota } from '../limits.js'
import { unreserved } from '../quotas.js'
import type { Bounds } from './bounds.js'

/**
 * One pool for each namespace with a quota, and a common one with the rest of the limits for all others. A quota is reserved: the
 * limits of all pools together are those of the backend.
 */
export class Pools<Pool extends Bounds> {
  readonly common: Pool
  #open: (quota: Quota) => Pool
  #quotas: ReadonlyMap<string, Quota> = new Map()
  /** Those of quotas that are no more, too, until they are empty. */
  #own = new Map<string, Pool>()

  /** @param open makes an empty pool */
  constructor (open: (quota: Quota) => Pool, limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>) {
    this.#open = open
    this.common = open(limits)
    this.configure(limits)
  }

  quota (namespace: string): Quota | undefined { return this.#quotas.get(namespace) }

  /** The pool of the namespace's own, which may be that of a quota that is no more. */
  own (namespace: string): Pool | undefined { return this.#own.get(namespace) }

  /** Where what is written to the namespace goes. */
  of (namespace: string): Pool {
    return this.#quotas.size > 0 && this.#quotas.has(namespace) ? this.#own.get(namespace) as Pool : this.common
  }

  all (): Pool[] { return [this.common, ...this.#own.values()] }

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
  configure (limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>): string[] {
    const { quotas = new Map<string, Quota>() } = limits
    const moved = [...quotas.keys()].filter((namespace) => !this.#quotas.has(namespace))
    for (const namespace of this.#quotas.keys()) {
      if (quotas.has(namespace)) continue
      moved.push(namespace)
      Object.assign(this.#own.get(namespace) as Pool, { maxItems: 0, maxMemory: 0 })
    }
    for (const [namespace, quota] of quotas) {
      const pool = this.#own.get(namespace)
      if (pool === undefined) this.#own.set(namespace, this.#open(quota))
      else Object.assign(pool, { maxItems: quota.maxItems, maxMemory: quota.maxMemory })
    }
    this.#quotas = quotas
    Object.assign(this.common, unreserved(limits))
    return moved
  }

  /** Forgets the pool of a quota that is no more. */
  close (namespace: string): void {
    if (!this.#quotas.has(namespace) && this.#own.get(namespace)?.items === 0) this.#own.delete(namespace)
  }
}
