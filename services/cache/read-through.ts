import { BackOff } from './back-off.js'
import { type Caller, isLeaving, throwIfGone, unlessGone } from './caller.js'
import type { Now } from './clock.js'
import { deepFreeze } from './copy.js'
import type { StoredEntry } from './entry.js'
import { EntryTooLargeError, LoadTimeoutError } from './errors.js'
import { isOutage, type OnFault } from './faults.js'
import type { AnyOptions, GetOrSetOptions, Loader } from './get-or-set.js'
import { nameOf, type Operation } from './in-flight.js'
import type { EntryDefaults } from './limits.js'
import { checkGrace, checkTtl } from './lifetime.js'
import { type Load, type LoadContext, type Loaded, Loads } from './loads.js'
import { Batch, type ManyLoader, type ManyOutcome } from './many.js'
import { Reading, type ReadingStatus } from './reading.js'
import type { Statistics } from './statistics.js'
import type { MaybePromise, Store } from './stores/store.js'

const DEFAULT_TIMEOUT = 30_000
const DEFAULT_BACKOFF = 1
/** Timers overflow past it. */
const LONGEST_TIMER = 2 ** 31 - 1

export interface ReadThroughOptions {
  store: Store
  statistics: Statistics
  now: Now
  version: () => number
  defaults: (namespace: string) => EntryDefaults
  onFault: OnFault
}

/**
 * Cache-aside with one load per key: whoever misses while a load is under way waits for it. A hit in memory is answered without
 * a promise; from there on the order is shared tier, lease, shared tier, loader, shared tier, memory.
 */
export class ReadThrough {
  #store: Store
  /** Whether there is a backend behind memory that wants to know of reads. */
  #isShared: boolean
  #statistics: Statistics
  #now: Now
  #onFault: OnFault
  #backOff: BackOff
  #loads: Loads
  /** Who begins to wait for a load in the same turn of the event loop, for as long, shares a timer. */
  #watches = new Map<Load, { limit: number, result: Promise<Loaded | undefined> }>()

  constructor ({ store, statistics, now, version, defaults, onFault }: ReadThroughOptions) {
    this.#onFault = onFault
    this.#store = store
    this.#isShared = store.name !== 'memory'
    this.#statistics = statistics
    this.#now = now
    this.#backOff = new BackOff(now)
    this.#loads = new Loads({ store, statistics, now, version, defaults, backOff: this.#backOff, onFault })
  }

  read<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Reading<T> | Promise<Reading<T>> {
    if (options.refresh !== true && this.#store.isTrusted) {
      const slot = this.#store.memory.hit(namespace, key)
      if (slot !== -1) return this.#hit(slot, namespace, key, loader, options)
    }
    return this.#readBehind(namespace, key, loader, options)
  }

  /** The value alone. A hit makes nothing that its caller does not get; in one function, because calls cost as much as what they do. */
  getOrSet<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    const { memory, isTrusted } = this.#store
    if (isTrusted && options.refresh !== true) {
      const slot = memory.hit(namespace, key)
      if (slot !== -1) {
        const counters = this.#statistics.of(namespace)
        counters.hits++
        counters.memoryHits++
        if (options.refreshAfter !== undefined || options.beta !== undefined) this.#refreshEarly(slot, namespace, key, loader, options)
        if (this.#isShared) this.#noteRead(slot, namespace, key)
        return (options.shared === true ? memory.shared(slot) : memory.value(slot)) as Promise<T>
      }
    }
    return this.#getOrSetBehind(namespace, key, loader, options)
  }

  /** See `Cache.getOrSetMany`. */
  async getOrSetMany<T> (
    namespace: string, keys: readonly string[], loader: ManyLoader<T>, options: GetOrSetOptions<T>
  ): Promise<ManyOutcome<T>[]> {
    checkLifetimes(keys[0] ?? '', options)
    const outcomes = new Map<string, ManyOutcome<T>>()
    const settling: Promise<void>[] = []
    const settle = (key: string, reading: Promise<Reading<T>>): void => {
      settling.push(reading.then(({ status, value }) => {
        outcomes.set(key, { key, status, value: options.shared === true ? deepFreeze(value) as T : value })
      }, (error: unknown) => { outcomes.set(key, { key, status: 'failed', error }) }))
    }
    const isUnderway = (key: string): boolean => this.#loads.underway(nameOf(namespace, key), namespace, key, options) !== undefined
    const isHit = (key: string): boolean => {
      const slot = options.refresh !== true && this.#store.isTrusted ? this.#store.memory.hit(namespace, key) : -1
      if (slot !== -1) settle(key, Promise.resolve(this.#hit(slot, namespace, key, alone(key), options)))
      return slot !== -1
    }
    const alone = (key: string) => async (): Promise<T> => await new Batch([key], loader).request(key)
    const rest: string[] = []
    for (const key of new Set(keys)) {
      if (isHit(key)) continue
      if (isUnderway(key)) settle(key, this.#readMissing(namespace, key, alone(key), options, this.#inMemory(namespace, key), {}))
      else rest.push(key)
    }
    const { fresh, stale, isAway } = await this.#fetchRest(namespace, rest, options)
    throwIfGone(options)
    // Someone else's load may have ended meanwhile.
    const missing = rest.filter((key) => !fresh.has(key) && !isHit(key))
    // Whose load has begun meanwhile is waited for as well.
    const batch = new Batch(missing.filter((key) => !isUnderway(key)), loader, options)
    for (const [key, entry] of fresh) settle(key, Promise.resolve(this.#found(entry)))
    for (const key of missing) {
      const context = { isAway, onWait: () => { batch.excuse(key) } }
      const load = async (waiting: Caller): Promise<T> => await batch.request(key, waiting)
      settle(key, this.#readMissing(namespace, key, load, options, stale.get(key), context).finally(() => { batch.excuse(key) }))
    }
    await Promise.all(settling)
    throwIfGone(options)
    return keys.map((key) => outcomes.get(key) as ManyOutcome<T>)
  }

  /** See `Cache.update`. */
  async update<T> (namespace: string, key: string, change: () => Promise<T>, options: GetOrSetOptions<T>): Promise<T> {
    checkLifetimes(key, options)
    const operation = await this.#store.begin(namespace, key)
    const end = this.#loads.limited(operation)
    const startedAt = this.#now()
    try {
      const value = await change()
      const entry = this.#loads.entry(namespace, key, value, startedAt, options)
      if (await this.#replace(operation, entry)) this.#statistics.of(namespace).sets++
      else await this.#store.forget(namespace, key)
      return value
    } catch (error) {
      await this.#store.forget(namespace, key)
      throw error
    } finally {
      end()
    }
  }

  #hit<T> (slot: number, namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Reading<T> {
    const counters = this.#statistics.of(namespace)
    counters.hits++
    counters.memoryHits++
    if (options.refreshAfter !== undefined || options.beta !== undefined) this.#refreshEarly(slot, namespace, key, loader, options)
    if (this.#isShared) this.#noteRead(slot, namespace, key)
    return new Reading<T>(this.#store.memory.content(slot), 'hit', true, this.#now(), 'memory')
  }

  #noteRead (slot: number, namespace: string, key: string): void {
    this.#store.noteRead({ namespace, key, accessedAt: this.#now() }, this.#store.memory.versionAt(slot))
  }

  async #getOrSetBehind<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    const { value } = await this.#readBehind(namespace, key, loader, options)
    return options.shared === true ? deepFreeze(value) as T : value
  }

  /** Starts a load in the background when the entry is late in its life. The loader does not run before the caller has its answer. */
  #refreshEarly<T> (slot: number, namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): void {
    const { createdAt, expiresAt, version } = this.#store.memory.content(slot)
    const name = nameOf(namespace, key)
    if (!this.#isDue(name, createdAt, expiresAt, options) || this.#backOff.isOn(name)) return
    if (this.#loads.underway(name, namespace, key, options) !== undefined) return
    this.#inBackground(name, this.#loads.start(namespace, key, loader, options, { known: version }), options)
  }

  #isDue (name: string, createdAt: number, expiresAt: number, { refreshAfter, beta }: AnyOptions): boolean {
    const now = this.#now()
    if (refreshAfter !== undefined && now > createdAt + (expiresAt - createdAt) * refreshAfter) return true
    const loadTime = beta === undefined ? undefined : this.#loads.times.get(name)
    return loadTime !== undefined && now - loadTime * (beta as number) * Math.log(Math.random()) >= expiresAt
  }

  async #replace (operation: Operation, entry: StoredEntry): Promise<boolean> {
    try {
      await this.#store.replace(operation, entry)
      return true
    } catch (error) {
      if (isOutage(error) || error instanceof EntryTooLargeError) return false
      throw error
    }
  }

  async #readBehind<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<Reading<T>> {
    checkLifetimes(key, options)
    const name = nameOf(namespace, key)
    // In memory even when it is not trusted now: good enough to be served as stale if all else fails.
    let stale = this.#inMemory(namespace, key)
    let isAway = false
    if (options.refresh !== true && this.#loads.underway(name, namespace, key, options) === undefined) {
      // Where memory is all there is, the load begins before the next caller asks.
      const asked = this.#fetch(namespace, key, options)
      const fetched = asked instanceof Promise ? await asked : asked
      isAway = fetched === 'away'
      if (typeof fetched === 'object') {
        if (fetched.expiresAt > this.#now()) return this.#found(fetched)
        stale = fetched
      } else if (this.#store.isTrusted) {
        // Someone else's load may have ended while the shared tier was asked.
        const filled = this.#store.memory.hit(namespace, key)
        if (filled !== -1) return this.#hit(filled, namespace, key, loader, options)
      }
      if (asked instanceof Promise) throwIfGone(options)
    }
    return await this.#readMissing(namespace, key, loader, options, stale, { isAway })
  }

  /** A read of what is not there, or stale. */
  async #readMissing<T> (
    namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>, found: StoredEntry | undefined, context: LoadContext
  ): Promise<Reading<T>> {
    const counters = this.#statistics.of(namespace)
    const name = nameOf(namespace, key)
    const use = found === undefined || options.refresh === true ? 'on-error' : options.staleUse?.(found) ?? 'on-error'
    const stale = use === 'never' ? undefined : found
    if (use === 'at-once') {
      if (!this.#backOff.isOn(name) && this.#loads.underway(name, namespace, key, options) === undefined) {
        this.#inBackground(name, this.#loads.start(namespace, key, loader, options, context), options)
      }
      return this.#stale(found as StoredEntry)
    }
    if (stale !== undefined && options.refresh !== true && this.#backOff.isOn(name)) return this.#stale(stale)
    const underway = this.#loads.underway(name, namespace, key, options)
    if (underway === undefined) counters.misses++
    else counters.coalesced++
    underway?.audience.join()
    const load = underway ?? this.#loads.start(namespace, key, loader, options, context)
    try {
      const loaded = await this.#inTime(name, key, load, stale, options)
      if (loaded === undefined) return this.#stale(stale as StoredEntry)
      const { entry, stored, elsewhere, loadTime, isAway } = loaded
      const status: ReadingStatus = options.refresh === true ? 'bypass' : underway !== undefined || elsewhere ? 'coalesced' : 'miss'
      if (elsewhere && underway === undefined) {
        counters.misses--
        counters.coalesced++
      }
      return new Reading<T>(entry, status, stored, this.#now(), elsewhere ? 'shared' : 'origin', loadTime, isAway)
    } catch (error) {
      if (isLeaving(error, options) || options.graceOn?.(error) === false) throw error
      if (stale !== undefined) {
        this.#backOff.begin(name, options.graceBackoff ?? DEFAULT_BACKOFF)
        return this.#stale(stale)
      }
      if (options.fallback === undefined) throw error
      const entry = this.#loads.entry(namespace, key, options.fallback(error), this.#now(), options)
      return new Reading<T>(entry, 'fallback', false, this.#now(), 'origin')
    }
  }

  /** A fresh entry from behind memory. */
  #found<T> (entry: StoredEntry): Reading<T> {
    this.#statistics.of(entry.namespace).hits++
    this.#store.noteRead({ ...entry, accessedAt: this.#now() }, entry.version)
    return new Reading<T>(entry, 'hit', true, this.#now(), 'shared')
  }

  #stale<T> (entry: StoredEntry): Reading<T> {
    this.#statistics.of(entry.namespace).stale++
    return new Reading<T>(entry, 'stale', true, this.#now(), 'memory')
  }

  #inMemory (namespace: string, key: string): StoredEntry | undefined {
    const slot = this.#store.memory.find(namespace, key)
    return slot === -1 ? undefined : this.#store.memory.stored(slot)
  }

  /** In one round trip, what is there and fresh, and what is there and stale. */
  async #fetchRest (
    namespace: string, keys: readonly string[], options: AnyOptions
  ): Promise<{ fresh: Map<string, StoredEntry>, stale: Map<string, StoredEntry>, isAway: boolean }> {
    const fresh = new Map<string, StoredEntry>()
    const stale = new Map<string, StoredEntry>()
    for (const key of keys) {
      const entry = this.#inMemory(namespace, key)
      if (entry !== undefined) stale.set(key, entry)
    }
    if (options.refresh === true || keys.length === 0) return { fresh, stale, isAway: false }
    try {
      for (const entry of await this.#store.fetchMany(namespace, keys, options)) {
        if (entry === undefined) continue
        if (entry.expiresAt > this.#now()) fresh.set(entry.key, entry)
        else stale.set(entry.key, entry)
      }
      return { fresh, stale, isAway: false }
    } catch (error) {
      if (isOutage(error)) return { fresh, stale, isAway: true }
      throw error
    }
  }

  /** What the shared tier has; an outage of it is a miss, because the origin can answer. */
  #fetch (namespace: string, key: string, caller: Caller): MaybePromise<StoredEntry | undefined | 'away'> {
    const fetching = this.#store.fetch(namespace, key, caller)
    if (!(fetching instanceof Promise)) return fetching
    return fetching.catch((error: unknown) => {
      if (isOutage(error)) return 'away'
      throw error
    })
  }

  /** The load's result, undefined when `stale` is to be served because the soft limit passed. Who leaves before is not there for the load any more. */
  async #inTime (
    name: string, key: string, load: Load, stale: StoredEntry | undefined, options: AnyOptions
  ): Promise<Loaded | undefined> {
    return await unlessGone(this.#limited(name, key, load, stale, options), options, () => {
      load.audience.leave(options.signal?.reason)
      return true
    })
  }

  #limited (
    name: string, key: string, load: Load, stale: StoredEntry | undefined, options: AnyOptions
  ): Promise<Loaded | undefined> {
    const hard = options.timeout ?? DEFAULT_TIMEOUT
    const isSoft = stale !== undefined && options.softTimeout !== undefined && options.softTimeout < hard
    const limit = isSoft ? options.softTimeout as number : hard
    const others = this.#watches.get(load)
    if (!isSoft && others?.limit === limit) return others.result
    const result = new Promise<Loaded | undefined>((resolve, reject) => {
      const timer = setTimeout(() => {
        if (isSoft) resolve(undefined)
        else reject(new LoadTimeoutError(key, hard))
        this.#inBackground(name, load, options)
      }, Math.min(limit, LONGEST_TIMER))
      load.result.then((loaded) => {
        clearTimeout(timer)
        resolve(loaded)
      }, (error: Error) => {
        clearTimeout(timer)
        reject(error)
      })
    })
    if (!isSoft && others === undefined) {
      this.#watches.set(load, { limit, result })
      setImmediate(() => { this.#watches.delete(load) })
    }
    return result
  }

  /** Nobody waits for this load (any more). When it fails, the loader is left alone like after a failure that somebody met. */
  #inBackground (name: string, { result, audience }: Load, { graceOn, graceBackoff = DEFAULT_BACKOFF }: AnyOptions): void {
    audience.stay()
    result.catch((error: unknown) => { if (graceOn?.(error) !== false) this.#backOff.begin(name, graceBackoff) }).catch(this.#onFault)
  }
}

/** What can be known before the loader runs: no stale value is to stand in for a mistake of the caller's. */
function checkLifetimes (key: string, { ttl, nullTtl, grace }: AnyOptions): void {
  if (typeof ttl === 'number') checkTtl(key, ttl)
  checkTtl(key, nullTtl)
  checkGrace(key, grace)
}
