import type { Grant, LeaseGiver, LeaseKeeper, Order } from '../../leases.js'

export interface DatabaseLeasesOptions {
  keeper: LeaseKeeper
  /** The last stamp, and that of the last change of the key. */
  order: (namespace: string, key: string) => Promise<Order>
  /** Tells the other processes that a lease was given back and nothing was stored. */
  tell: (namespace: string, key: string) => Promise<void>
}

/** Leases of entries in PostgreSQL, which tells when a lease is void, while somebody else keeps who has it. */
export class DatabaseLeases implements LeaseGiver {
  readonly isApart = true
  #options: DatabaseLeasesOptions

  constructor (options: DatabaseLeasesOptions) { this.#options = options }

  async acquire (namespace: string, key: string, milliseconds: number, over?: string): Promise<Grant> {
    const { keeper, order } = this.#options
    return await keeper.acquire(namespace, key, milliseconds, await order(namespace, key), over)
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    return await this.#options.keeper.renew(namespace, key, token, milliseconds)
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    const { keeper, tell: telling } = this.#options
    await keeper.release(namespace, key, token)
    if (tell) await telling(namespace, key)
  }
}
