import type { Now } from './clock.js'
import { deepFreeze } from './copy.js'
import { encode } from './encoding.js'
import { NO_TAGS, type StoredEntry } from './entry.js'
import { EntryTooLargeError, LoadTimeoutError } from './errors.js'
import { isOutage, type OnFault } from './faults.js'
import { nameOf, type Operation } from './in-flight.js'
import type { Limits } from './limits.js'
import { Reading, type ReadingStatus } from './reading.js'
import type { Statistics } from './statistics.js'
import type { Store } from './stores/store.js'

/** Computes the value of a key. What it throws reaches the callers, unless a stale value can be served. */
export type Loader<T> = () => Promise<T> | T

export interface GetOrSetOptions<T = unknown> {
  /** Seconds, or a function of the value; 0 never expires. Default: the cache's. */
  ttl?: number | ((value: T) => number) | undefined
  /** Default none. */
  tags?: readonly string[] | ((value: T) => readonly string[]) | undefined
  /** Seconds past the TTL during which the value is served when loading a new one fails. Default 0. */
  grace?: number | undefined
  /** Which faults of the loader a stale value may stand in for. Default: all. A fault that is an answer ("there is none") is none of them. */
  graceOn?: ((error: unknown) => boolean) | undefined
  /** Seconds to leave the loader alone after it failed while a stale value is served. Default 1. */
  graceBackoff?: number | undefined
  /** Milliseconds after which the callers get LoadTimeoutError; the load goes on, and its result is kept. Default 30 000. */
  timeout?: number | undefined
  /** Milliseconds after which a stale value is served, if there is one, while the load goes on. Default: only the hard limit. */
  softTimeout?: number | undefined
  /** Fraction of the TTL after which a hit starts a load in the background. Default 1: never. */
  refreshAfter?: number | undefined
  /** Fraction of the TTL by which it is shortened at random, so that entries made together do not expire together. Default 0. */
  jitter?: number | undefined
  /** Go past what is cached, and store what is loaded. Default false. */
  refresh?: boolean | undefined
  /**
   * Take a value that is frozen to its ends, and on a hit the same as other callers get, for none is copied then. Default false:
   * each caller may change what it gets.
   */
  shared?: boolean | undefined
}

interface Loaded { entry: StoredEntry, stored: boolean }
/** A load under way. It has no operation before it began. */
interface Load { readonly result: Promise<Loaded>, readonly began: { operation: Operation | undefined } }

const DEFAULT_TIMEOUT = 30_000
const DEFAULT_BACKOFF = 1
/**
 * Milliseconds after which a load or a change is given up as hung: what it brings is not kept, the next caller loads anew, and
 * invalidations need not be remembered for it any more.
 */
const GIVE_UP_AFTER = 120_000
/** Timers overflow past it. */
const LONGEST_TIMER = 2 ** 31 - 1
/** Keys whose loader is being left alone; beyond this many the oldest is forgotten. */
const BACKOFF_BOUND = 10_000

export interface ReadThroughOptions {
  store: Store
  statistics: Statistics
  now: Now
  version: () => number
  limits: () => Limits
  onFault: OnFault
}

/**
 * Cache-aside with one load per key: whoever misses while a load is under way waits for it. A hit in memory is answered without
 * a promise; from there on the order is shared tier, loader, shared tier, memory.
 */
export class ReadThrough {
  #store: Store
  #statistics: Statistics
  #now: Now
  #version: () => number
  #limits: () => Limits
  #onFault: OnFault
  #loads = new Map<string, Load>()
  #leftAloneUntil = new Map<string, number>()

  constructor ({ store, statistics, now, version, limits, onFault }: ReadThroughOptions) {
    this.#onFault = onFault
    this.#store = store
    this.#statistics = statistics
    this.#now = now
    this.#version = version
    this.#limits = limits
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
        if (options.refreshAfter !== undefined) this.#refreshEarly(slot, namespace, key, loader, options)
        return (options.shared === true ? memory.shared(slot) : Promise.resolve(memory.value(slot))) as Promise<T>
      }
    }
    return this.#getOrSetBehind(namespace, key, loader, options)
  }

  /** See `Cache.update`. */
  async update<T> (namespace: string, key: string, change: () => Promise<T>, options: GetOrSetOptions<T>): Promise<T> {
    const operation = await this.#store.begin(namespace, key)
    const end = this.#limited(operation)
    const startedAt = this.#now()
    try {
      const value = await change()
      this.#statistics.of(namespace).sets++
      if (!await this.#replace(operation, this.#entry(namespace, key, value, startedAt, options))) {
        await this.#store.forget(namespace, key)
      }
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
    if (options.refreshAfter !== undefined) this.#refreshEarly(slot, namespace, key, loader, options)
    return new Reading<T>(this.#store.memory.content(slot), 'hit', true, this.#now())
  }

  async #getOrSetBehind<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    const { value } = await this.#readBehind(namespace, key, loader, options)
    return options.shared === true ? deepFreeze(value) as T : value
  }

  /** Starts a load in the background when the entry is late in its life. The loader does not run before the caller has its answer. */
  #refreshEarly<T> (slot: number, namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): void {
    if (!this.#isDue(this.#store.memory.content(slot), options.refreshAfter as number)) return
    const name = nameOf(namespace, key)
    if (!this.#isLeftAlone(name)) this.#inBackground(name, this.#load(namespace, key, loader, options), options)
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

  /** What ends the operation, at the latest when it is given up. */
  #limited (operation: Operation): () => void {
    const timer = setTimeout(() => {
      operation.supersededAt = Infinity
      this.#store.end(operation)
    }, GIVE_UP_AFTER)
    timer.unref()
    return () => {
      clearTimeout(timer)
      this.#store.end(operation)
    }
  }

  async #readBehind<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<Reading<T>> {
    const counters = this.#statistics.of(namespace)
    const name = nameOf(namespace, key)
    // In memory even when it is not trusted now: good enough to be served as stale if all else fails.
    const slot = this.#store.memory.find(namespace, key)
    let stale: StoredEntry | undefined = slot === -1 ? undefined : this.#store.memory.stored(slot)
    if (options.refresh !== true && this.#joinable(name, namespace, key, options) === undefined) {
      const fetched = await this.#fetch(namespace, key)
      if (fetched !== undefined) {
        if (fetched.expiresAt > this.#now()) {
          counters.hits++
          return new Reading<T>(fetched, 'hit', true, this.#now())
        }
        stale = fetched
      } else if (this.#store.isTrusted) {
        // Someone else's load may have ended while the shared tier was asked.
        const filled = this.#store.memory.hit(namespace, key)
        if (filled !== -1) return this.#hit(filled, namespace, key, loader, options)
      }
    }
    if (stale !== undefined && options.refresh !== true && this.#isLeftAlone(name)) {
      counters.stale++
      return new Reading<T>(stale, 'stale', true, this.#now())
    }
    const waiting = options.refresh !== true && this.#joinable(name, namespace, key, options) !== undefined
    const status: ReadingStatus = options.refresh === true ? 'bypass' : waiting ? 'coalesced' : 'miss'
    if (waiting) counters.coalesced++
    else counters.misses++
    const loading = this.#load(namespace, key, loader, options)
    try {
      const { entry, stored } = await this.#inTime(name, key, loading, stale, options)
      if (entry === stale) {
        counters.stale++
        return new Reading<T>(entry, 'stale', true, this.#now())
      }
      return new Reading<T>(entry, status, stored, this.#now())
    } catch (error) {
      if (stale === undefined || options.graceOn?.(error) === false) throw error
      this.#leaveAlone(name, options.graceBackoff ?? DEFAULT_BACKOFF)
      counters.stale++
      return new Reading<T>(stale, 'stale', true, this.#now())
    }
  }

  /** What the shared tier has; an outage of it is a miss, because the origin can answer. */
  async #fetch (namespace: string, key: string): Promise<StoredEntry | undefined> {
    try {
      return await this.#store.fetch(namespace, key)
    } catch (error) {
      if (isOutage(error)) return undefined
      throw error
    }
  }

  #load<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<Loaded> {
    const name = nameOf(namespace, key)
    const underway = options.refresh === true ? undefined : this.#joinable(name, namespace, key, options)
    if (underway !== undefined) return underway.result
    const began: Load['began'] = { operation: undefined }
    const result = this.#loadOnce(began, namespace, key, loader, options).finally(() => {
      if (this.#loads.get(name)?.result === result) this.#loads.delete(name)
    })
    this.#loads.set(name, { result, began })
    return result
  }

  /** The load under way that a new caller may wait for: not one that began before the key was changed or invalidated. */
  #joinable (name: string, namespace: string, key: string, { tags }: GetOrSetOptions<never>): Load | undefined {
    const load = this.#loads.get(name)
    const operation = load?.began.operation
    if (operation === undefined) return load
    const known = typeof tags === 'function' ? undefined : tags ?? NO_TAGS
    return this.#store.isCurrent(operation, namespace, key, known) ? load : undefined
  }

  async #loadOnce<T> (
    began: Load['began'], namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>
  ): Promise<Loaded> {
    const counters = this.#statistics.of(namespace)
    counters.loads++
    const operation = await this.#store.begin(namespace, key)
    began.operation = operation
    const end = this.#limited(operation)
    const startedAt = this.#now()
    try {
      const value = await loader()
      const entry = this.#entry(namespace, key, value, startedAt, options)
      this.#leftAloneUntil.delete(nameOf(namespace, key))
      const outcome = await this.#fill(operation, entry)
      return { entry, stored: typeof outcome === 'object' }
    } catch (error) {
      counters.loadFailures++
      throw error
    } finally {
      end()
    }
  }

  async #fill (operation: Operation, entry: StoredEntry): Promise<unknown> {
    try {
      return await this.#store.fill(operation, entry)
    } catch (error) {
      // The value is there for those who wait; that it could not be kept is the cache's trouble, not theirs.
      if (isOutage(error) || error instanceof EntryTooLargeError) return undefined
      throw error
    }
  }

  #entry<T> (namespace: string, key: string, value: T, createdAt: number, options: GetOrSetOptions<T>): StoredEntry {
    const { defaultTtl, strategy } = this.#limits()
    let ttl = (typeof options.ttl === 'function' ? options.ttl(value) : options.ttl) ?? defaultTtl
    if (Number.isNaN(ttl)) throw new RangeError(`The TTL of "${key}" is not a number`)
    if (options.jitter !== undefined) ttl *= 1 - Math.random() * options.jitter
    const expiresAt = ttl === 0 ? Infinity : this.#now() + ttl * 1000
    return {
      namespace,
      key,
      value: encode(value),
      dataType: 'json',
      tags: (typeof options.tags === 'function' ? options.tags(value) : options.tags) ?? NO_TAGS,
      metadata: undefined,
      strategy,
      createdAt,
      accessedAt: createdAt,
      accessCount: 0,
      expiresAt,
      goneAt: expiresAt + (options.grace ?? 0) * 1000,
      version: this.#version(),
      stamp: 0
    }
  }

  /** The load's result, or `stale` after the soft limit. */
  async #inTime (
    name: string, key: string, loading: Promise<Loaded>, stale: StoredEntry | undefined, options: GetOrSetOptions<never>
  ): Promise<Loaded> {
    const hard = options.timeout ?? DEFAULT_TIMEOUT
    const isSoft = stale !== undefined && options.softTimeout !== undefined && options.softTimeout < hard
    const limit = isSoft ? options.softTimeout as number : hard
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Loaded>((resolve, reject) => {
      timer = setTimeout(() => {
        if (isSoft) resolve({ entry: stale, stored: true })
        else reject(new LoadTimeoutError(key, hard))
        this.#inBackground(name, loading, options)
      }, Math.min(limit, LONGEST_TIMER))
    })
    return await Promise.race([loading, late]).finally(() => { clearTimeout(timer) })
  }

  /** Nobody waits for this load (any more). When it fails, the loader is left alone like after a failure that somebody met. */
  #inBackground (name: string, loading: Promise<unknown>, { graceOn, graceBackoff = DEFAULT_BACKOFF }: GetOrSetOptions<never>): void {
    loading.catch((error: unknown) => { if (graceOn?.(error) !== false) this.#leaveAlone(name, graceBackoff) }).catch(this.#onFault)
  }

  #isDue ({ createdAt, expiresAt }: { createdAt: number, expiresAt: number }, fraction: number): boolean {
    return this.#now() > createdAt + (expiresAt - createdAt) * fraction
  }

  #isLeftAlone (name: string): boolean { return (this.#leftAloneUntil.get(name) ?? 0) > this.#now() }

  #leaveAlone (name: string, seconds: number): void {
    this.#leftAloneUntil.delete(name)
    this.#leftAloneUntil.set(name, this.#now() + seconds * 1000)
    if (this.#leftAloneUntil.size > BACKOFF_BOUND) {
      const [oldest] = this.#leftAloneUntil.keys()
      this.#leftAloneUntil.delete(oldest as string)
    }
  }
}
