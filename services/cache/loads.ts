import { Audience } from './audience.js'
import type { BackOff } from './back-off.js'
import type { Now } from './clock.js'
import { encode } from './encoding.js'
import { goneAfter, NO_TAGS, type StoredEntry } from './entry.js'
import { EntryTooLargeError } from './errors.js'
import { isOutage, type OnFault } from './faults.js'
import { type AnyOptions, type GetOrSetOptions, type Loader, Ready } from './get-or-set.js'
import { nameOf, type Operation } from './in-flight.js'
import { checkGrace, checkTtl } from './lifetime.js'
import { LeasedTurn, type Turn } from './leased-turn.js'
import type { EntryDefaults } from './limits.js'
import { LoadTimes } from './load-times.js'
import type { Statistics } from './statistics.js'
import type { Store } from './stores/store.js'

/** What a load brought. */
export interface Loaded {
  entry: StoredEntry
  stored: boolean
  /** Whether another process loaded it. */
  elsewhere: boolean
  /** Milliseconds, also of the waiting for others. */
  loadTime: number
  /** Whether the shared backend did not answer, so that nothing could be kept. */
  isAway: boolean
}

/** A load under way. It has no operation before it began. */
export interface Load { readonly result: Promise<Loaded>, readonly began: Began, readonly audience: Audience }
interface Began { operation: Operation | undefined, readonly audience: Audience }

/**
 * Milliseconds after which a load or a change is given up as hung: what it brings is not kept, the next caller loads anew, and
 * invalidations need not be remembered for it any more.
 */
const GIVE_UP_AFTER = 120_000
const DEFAULT_LEASE = 3000

export interface LoadsOptions {
  store: Store
  statistics: Statistics
  now: Now
  version: () => number
  defaults: (namespace: string) => EntryDefaults
  backOff: BackOff
  onFault: OnFault
}

/** What a load has to know beyond key, loader and options. */
export interface LoadContext {
  /** The version that is to be replaced; an entry of another one, from another process, is as good as a load. */
  known?: number | undefined
  /** The shared backend has just failed to answer: it is not asked for anything before the loader runs. */
  isAway?: boolean | undefined
  /** Is told when another process turns out to be loading: the loader may be called later, or not at all. */
  onWait?: (() => void) | undefined
}

/** The loads under way: one per key, in this process by waiting for it, and over all processes by a lease. */
export class Loads {
  readonly times = new LoadTimes()
  #options: LoadsOptions
  #loads = new Map<string, Load>()

  constructor (options: LoadsOptions) { this.#options = options }

  /** The load under way that a new caller may wait for: not one that began before the key was changed or invalidated, or that was given up. */
  underway (name: string, namespace: string, key: string, { tags }: AnyOptions): Load | undefined {
    const load = this.#loads.get(name)
    if (load === undefined || load.audience.isOver) return undefined
    const { operation } = load.began
    if (operation === undefined) return load
    const known = typeof tags === 'function' ? undefined : tags ?? NO_TAGS
    return this.#options.store.isCurrent(operation, namespace, key, known) ? load : undefined
  }

  start<T> (namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>, context: LoadContext = {}): Load {
    const name = nameOf(namespace, key)
    const audience = new Audience()
    const began: Began = { operation: undefined, audience }
    const result = this.#run(began, namespace, key, loader, options, context).finally(() => {
      if (this.#loads.get(name)?.result === result) this.#loads.delete(name)
    })
    const load = { result, began, audience }
    this.#loads.set(name, load)
    return load
  }

  /** The entry that a value is kept as. */
  entry<T> (namespace: string, key: string, value: T, createdAt: number, options: GetOrSetOptions<T>): StoredEntry {
    const { defaults, now, version } = this.#options
    const { defaultTtl, strategy } = defaults(namespace)
    const ready = value instanceof Ready ? value : undefined
    const isNothing = value === null || value === undefined
    let ttl = (isNothing ? options.nullTtl : undefined) ??
      (typeof options.ttl === 'function' ? options.ttl(value, key) : options.ttl) ?? defaultTtl
    checkTtl(key, ready?.ttl ?? ttl)
    const grace = ready?.grace ?? options.grace ?? 0
    checkGrace(key, grace)
    if (options.jitter !== undefined) ttl *= 1 - Math.random() * options.jitter
    if (ready !== undefined) ttl = ready.ttl
    const expiresAt = ready === undefined && ttl === 0 ? Infinity : now() + ttl * 1000
    return {
      namespace,
      key,
      value: ready === undefined ? encode(value) : ready.encoded,
      dataType: 'json',
      tags: (typeof options.tags === 'function' ? options.tags(value, key) : options.tags) ?? NO_TAGS,
      metadata: undefined,
      strategy,
      createdAt,
      accessedAt: createdAt,
      accessCount: 0,
      expiresAt,
      goneAt: goneAfter(expiresAt, grace),
      version: version(),
      stamp: 0
    }
  }

  /** What ends the operation, at the latest when it is given up. */
  limited (operation: Operation, onGivenUp?: () => void): () => void {
    const { store } = this.#options
    const timer = setTimeout(() => {
      operation.supersededAt = Infinity
      store.end(operation)
      onGivenUp?.()
    }, GIVE_UP_AFTER)
    timer.unref()
    return () => {
      clearTimeout(timer)
      store.end(operation)
    }
  }

  async #run<T> (
    began: Began, namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>, context: LoadContext
  ): Promise<Loaded> {
    const { store, now } = this.#options
    const askedAt = now()
    const lease = options.lease ?? DEFAULT_LEASE
    if (context.isAway === true) return await this.#load(began, store.resume(namespace, key, undefined), namespace, key, loader, options)
    if (!store.leases.isShared || lease === 0 || options.refresh === true) {
      return await this.#load(began, await store.begin(namespace, key), namespace, key, loader, options)
    }
    const turn = await this.#turn(began, namespace, key, lease, options, context)
    if (turn.entry !== undefined) return { entry: turn.entry, stored: true, elsewhere: true, loadTime: now() - askedAt, isAway: false }
    const isKnown = turn.stamp !== undefined || turn.isAway === true
    const operation = isKnown ? store.resume(namespace, key, turn.stamp, turn.claim) : await store.begin(namespace, key)
    return await this.#load(began, operation, namespace, key, loader, options, turn)
  }

  /** Waits until it is this process's turn to load, or another has done so. */
  async #turn (
    began: Began, namespace: string, key: string, lease: number, { tags }: AnyOptions, { known, onWait }: LoadContext
  ): Promise<Turn> {
    const { store, now, onFault } = this.#options
    const turn = new LeasedTurn({
      store,
      now,
      namespace,
      key,
      lease,
      known,
      onFault,
      tags: typeof tags === 'function' ? undefined : tags ?? NO_TAGS,
      giveUpAfter: GIVE_UP_AFTER,
      audience: began.audience
    })
    return await turn.take((stamp) => {
      // As a load elsewhere, it may be joined for as long as the key stays as it was when that began.
      if (began.operation !== undefined) store.end(began.operation)
      began.operation = stamp === undefined ? undefined : store.resume(namespace, key, stamp)
      if (stamp !== undefined) onWait?.()
    })
  }

  async #load<T> (
    began: Began, operation: Operation, namespace: string, key: string, loader: Loader<T>, options: GetOrSetOptions<T>, turn?: Turn
  ): Promise<Loaded> {
    const { store, statistics, now, backOff } = this.#options
    const { audience } = began
    if (audience.isDeserted) {
      store.end(operation)
      turn?.end(true)
      audience.throwIfDeserted()
    }
    const counters = statistics.of(namespace)
    counters.loads++
    began.operation = operation
    let stored = false
    const end = this.limited(operation, () => { turn?.end(true) })
    const startedAt = now()
    try {
      const value = await loader(audience)
      const loadTime = now() - startedAt
      const entry = this.entry(namespace, key, value, startedAt, options)
      const name = nameOf(namespace, key)
      backOff.end(name)
      if (options.beta !== undefined) this.times.note(name, loadTime)
      const filled = value instanceof Ready && !value.isKept ? undefined : await this.#fill(operation, entry)
      stored = typeof filled === 'object'
      return { entry, stored, elsewhere: false, loadTime, isAway: filled === 'away' || !operation.isOrdered }
    } catch (error) {
      if (!audience.isOver) counters.loadFailures++
      throw error
    } finally {
      end()
      turn?.end(!stored)
    }
  }

  async #fill (operation: Operation, entry: StoredEntry): Promise<unknown> {
    try {
      return await this.#options.store.fill(operation, entry)
    } catch (error) {
      // The value is there for those who wait; that it could not be kept is the cache's trouble, not theirs.
      if (isOutage(error)) return 'away'
      if (error instanceof EntryTooLargeError) return undefined
      throw error
    }
  }
}
