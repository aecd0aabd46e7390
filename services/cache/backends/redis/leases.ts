import type { Redis } from 'ioredis'
import { type Grant, type LeaseGiver, newToken, stampOf } from '../../leases.js'
import { type LeaseScripted, leaseScripts } from './lease-scripts.js'

export interface RedisLeasesOptions {
  client: Redis
  /** The names of things in Redis. */
  names: {
    lease: (namespace: string, key: string) => string
    /** Of what tells when the key was changed last; absent where every change takes the lease away. */
    entry?: (namespace: string, key: string) => string
    readonly counter: string
    readonly channel: string
  }
  /** Keeps a command within its deadline. */
  run: <T>(command: () => Promise<T>) => Promise<T>
  /** The last stamp; begins the counter when there is none. */
  stamp: () => Promise<number>
  /** What is published when a lease is given back and nothing was stored. */
  released: (namespace: string, key: string) => string
}

/** Leases in the Redis that also keeps the order of changes. */
export class RedisLeases implements LeaseGiver {
  /** What is asked over one connection is answered in turn. */
  readonly precedesReads: boolean
  #options: RedisLeasesOptions
  #client: Redis & LeaseScripted

  constructor (options: RedisLeasesOptions) {
    const { client } = options
    for (const [name, script] of Object.entries(leaseScripts)) if (!(name in client)) client.defineCommand(name, script)
    this.#options = options
    this.precedesReads = options.names.entry !== undefined
    this.#client = client as Redis & LeaseScripted
  }

  async acquire (namespace: string, key: string, milliseconds: number, over = ''): Promise<Grant> {
    const { names, run, stamp } = this.#options
    const keys = [names.lease(namespace, key), names.counter, ...names.entry === undefined ? [] : [names.entry(namespace, key)]]
    const random = newToken(0).slice(1)
    for (;;) {
      const [token, left] = await run(async () => await this.#client.larderAcquire(keys.length, ...keys, random, Math.ceil(milliseconds), over))
      if (token === undefined) await stamp()
      else return grantOf(token, left as number)
    }
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    const { names, run } = this.#options
    return await run(async () => await this.#client.larderRenew(names.lease(namespace, key), token, Math.ceil(milliseconds))) === 1
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    const { names, run, released } = this.#options
    await run(async () => await this.#client.larderRelease(
      names.lease(namespace, key), token, ...tell ? [names.channel, released(namespace, key)] : []))
  }
}

/** @param left for how many milliseconds another may still have it, 0 when it is the caller's */
export function grantOf (token: string, left: number): Grant {
  const stamp = stampOf(token)
  return left === 0 ? { isMine: true, token, stamp } : { isMine: false, token, stamp, left }
}
