import type { Cluster, Redis } from 'ioredis'
import { isOutage as isAway } from '../../faults.js'
import { type Grant, type LeaseKeeper, LeasesAwayError, newToken, type Order } from '../../leases.js'
import { Turns } from '../../turns.js'
import { Guard } from '../guard.js'
import { isFull, isOutage } from './faults.js'
import { type LeaseScripted, leaseScripts } from './lease-scripts.js'
import { grantOf } from './leases.js'

/** How long an operation may take, in milliseconds. */
const DEADLINE = 200
/** Commands on their way at once. More wait, within their deadline. */
const AT_ONCE = 100

export interface RedisLeaseKeeperOptions {
  /** As for `RedisBackend`. Not closed here. */
  client: Redis | Cluster
  /** Before every key, `larder:database` for instance. */
  prefix: string
  /** Milliseconds that an operation may take. Default 200. */
  deadline?: number
}

/** Leases in Redis for a backend whose order is kept elsewhere. */
export class RedisLeaseKeeper implements LeaseKeeper {
  #client: Redis & LeaseScripted
  #prefix: string
  #deadline: number
  #guard = new Guard({ name: 'leases', away: 'Redis, which keeps the leases, does not answer.', isOutage, isFull, turns: new Turns(AT_ONCE) })

  constructor ({ client, prefix, deadline = DEADLINE }: RedisLeaseKeeperOptions) {
    for (const [name, script] of Object.entries(leaseScripts)) if (!(name in client)) client.defineCommand(name, script)
    // A cluster's client has the same commands.
    this.#client = client as Redis & LeaseScripted
    this.#prefix = prefix
    this.#deadline = deadline
  }

  async acquire (namespace: string, key: string, milliseconds: number, { stamp, changed }: Order, over = ''): Promise<Grant> {
    const random = newToken(0).slice(1)
    const answer = await this.#run(async () => await this.#client.larderAcquire(
      1, this.#lease(namespace, key), random, Math.ceil(milliseconds), over, stamp, changed))
    const [token, left] = answer as [string, number]
    return grantOf(token, left)
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    return await this.#run(async () => await this.#client.larderRenew(this.#lease(namespace, key), token, Math.ceil(milliseconds))) === 1
  }

  async release (namespace: string, key: string, token: string): Promise<void> {
    await this.#run(async () => await this.#client.larderRelease(this.#lease(namespace, key), token))
  }

  #lease (namespace: string, key: string): string { return `${this.#prefix}:lease:${namespace}:${key}` }

  async #run<T> (command: () => Promise<T>): Promise<T> {
    try {
      return await this.#guard.run(command, this.#deadline)
    } catch (error) {
      throw isAway(error) ? new LeasesAwayError(error) : error
    }
  }
}
