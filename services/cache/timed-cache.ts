import { Cache, type CacheOptions } from './cache.js'
import type { Caller } from './caller.js'
import type { Condition, Entry, NewEntry } from './entry.js'
import type { Fallen, Invalidation } from './ledger.js'
import type { ListQuery, Listing, MaybePromise } from './stores/store.js'

/** Takes the duration of one kind of operation, in milliseconds, by what came of it. */
export interface OperationTimes {
  hit (milliseconds: number): void
  miss (milliseconds: number): void
  ok (milliseconds: number): void
  error (milliseconds: number): void
}

export type TimedOperation = 'get' | 'get_many' | 'set' | 'delete' | 'touch' | 'increment' | 'list' | 'invalidate'

/** A cache that tells how long its operations take. The clock is read twice for each, which is why the plain one does not. */
export class TimedCache extends Cache {
  #times: Record<TimedOperation, OperationTimes>

  constructor (options: CacheOptions, times: Record<TimedOperation, OperationTimes>) {
    super(options)
    this.#times = times
  }

  override get (namespace: string, key: string, caller?: Caller): MaybePromise<Entry | undefined> {
    const start = performance.now()
    const found = super.get(namespace, key, caller)
    if (found instanceof Promise) return this.#read(this.#times.get, start, found)
    const times = this.#times.get
    if (found === undefined) times.miss(performance.now() - start)
    else times.hit(performance.now() - start)
    return found
  }

  override getMany (namespace: string, keys: readonly string[], caller?: Caller): MaybePromise<(Entry | undefined)[]> {
    return this.#done('get_many', () => super.getMany(namespace, keys, caller))
  }

  override set (namespace: string, key: string, entry: NewEntry, condition?: Condition, caller?: Caller): MaybePromise<Entry> {
    return this.#done('set', () => super.set(namespace, key, entry, condition, caller))
  }

  override delete (namespace: string, key: string, condition?: Condition, caller?: Caller): MaybePromise<boolean> {
    return this.#done('delete', () => super.delete(namespace, key, condition, caller))
  }

  override async touch (namespace: string, key: string, ttl: number, caller?: Caller): Promise<Entry | undefined> {
    return await this.#done('touch', async () => await super.touch(namespace, key, ttl, caller))
  }

  override async increment (namespace: string, key: string, by: number, options?: { ttl?: number | undefined }, caller?: Caller): Promise<Entry> {
    return await this.#done('increment', async () => await super.increment(namespace, key, by, options, caller))
  }

  override async list (namespace: string, query: ListQuery, caller?: Caller): Promise<Listing> {
    return await this.#done('list', async () => await super.list(namespace, query, caller))
  }

  override async drop (namespace: string, what: Invalidation, caller?: Caller): Promise<Fallen> {
    return await this.#done('invalidate', async () => await super.drop(namespace, what, caller))
  }

  async #read (times: OperationTimes, start: number, finding: Promise<Entry | undefined>): Promise<Entry | undefined> {
    try {
      const found = await finding
      if (found === undefined) times.miss(performance.now() - start)
      else times.hit(performance.now() - start)
      return found
    } catch (error) {
      times.error(performance.now() - start)
      throw error
    }
  }

  #done<T> (operation: TimedOperation, act: () => MaybePromise<T>): MaybePromise<T> {
    const times = this.#times[operation]
    const start = performance.now()
    const failed = (error: unknown): never => {
      times.error(performance.now() - start)
      throw error
    }
    let result: MaybePromise<T>
    try {
      result = act()
    } catch (error) {
      return failed(error)
    }
    if (!(result instanceof Promise)) {
      times.ok(performance.now() - start)
      return result
    }
    return result.then((value) => {
      times.ok(performance.now() - start)
      return value
    }, failed)
  }
}
