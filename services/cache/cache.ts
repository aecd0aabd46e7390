import type { Observer } from './analytics/observer.js'
import type { WriteCondition, WriteOutcome } from './backends/backend.js'
import { type Caller, throwIfGone, whileThere } from './caller.js'
import type { Now } from './clock.js'
import { openCursor, sealCursor } from './cursor.js'
import { type Condition, type Entry, goneAfter, graceOf, type NewEntry, type StoredEntry } from './entry.js'
import { PreconditionFailedError } from './errors.js'
import { FillLeases, type LeaseOutcome } from './fill-leases.js'
import { isOutage, type OnFault, warnOfFault } from './faults.js'
import { type Matcher, matcherOf } from './glob.js'
import { type GetOrSetOptions, type Loader, NO_OPTIONS } from './get-or-set.js'
import { inOrder } from './in-order.js'
import { Increments } from './increments.js'
import type { Fallen, Invalidation } from './ledger.js'
import { DEFAULT_LIMITS, type EntryDefaults, type Limits } from './limits.js'
import type { ManyLoader, ManyOutcome } from './many.js'
import { NewEntries } from './new-entries.js'
import { type Preview, previewOf } from './preview.js'
import { ReadThrough } from './read-through.js'
import type { Reading } from './reading.js'
import type { BreakerState } from './breaker.js'
import { snapshot, snapshotOf } from './snapshot.js'
import { type Counters, Statistics } from './statistics.js'
import type { ListQuery, Listing, MaybePromise, Store, Usage } from './stores/store.js'
import type { RecordFormat } from './record-format.js'
import { parseVersion, versionSource } from './version.js'

export interface CacheOptions {
  store: Store
  now: Now
  limits?: Limits
  /** Where `getOrSet` and its siblings keep their entries. Default `default`. */
  namespace?: string
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
  /** Is told of every read and write by `get`, `set` and their siblings; of `getOrSet` and what belongs to it, nothing. Default nobody. */
  observer?: Observer | undefined
  /** Callers of `getOrLease` that may wait at once. Default 10 000. */
  maxWaiters?: number
}

/** The outcome of a read with a lease. */
export type LeasedRead = { kind: 'found' | 'stale', entry: Entry } | Exclude<LeaseOutcome, { entry: unknown }>

export interface CacheStatistics extends Counters, Usage {
  /** From this process's memory, since the start. */
  evictions: number
  expirations: number
  /** Reads that were misses because what is stored outside the process cannot be read (tampered with, or sealed with a key that is gone). */
  unreadable: number
  /** Entries that were found damaged where they are stored; they are gone. */
  damaged: number
}

/**
 * One cache: keys in namespaces, over memory or over memory in front of a shared backend. What memory can answer is answered
 * synchronously; everything else is a promise that settles within the backend's deadline.
 *
 * A `caller` that leaves waits no longer, and nothing more is begun on its behalf: what was asked fails with the reason of its signal. A command that is
 * on its way cannot be taken back: whether a change was made is not known then.
 */
export class Cache {
  readonly namespace: string
  #store: Store
  /** Whether there is a backend behind memory that wants to know of reads. */
  #isShared: boolean
  #now: Now
  #limits: Limits
  /** What namespaces have of their own, over the limits. */
  #ownDefaults: ReadonlyMap<string, Partial<EntryDefaults>> = new Map()
  #entries: NewEntries
  #onFault: OnFault
  #observer: Observer | undefined
  #statistics = new Statistics()
  #readThrough: ReadThrough
  #fillLeases: FillLeases
  #increments: Increments
  #cleaning: NodeJS.Timeout | undefined

  constructor ({ store, now, limits = DEFAULT_LIMITS, namespace = 'default', onFault = warnOfFault, observer, maxWaiters }: CacheOptions) {
    this.#observer = observer
    this.#onFault = onFault
    this.#store = store
    this.#isShared = store.name !== 'memory'
    this.#now = now
    this.#limits = { ...limits }
    const version = versionSource(now)
    const defaults = (namespace: string): EntryDefaults => this.defaultsOf(namespace)
    this.#entries = new NewEntries({ now, version, defaults })
    this.#increments = new Increments({ store, now, entries: this.#entries })
    this.namespace = namespace
    this.#readThrough = new ReadThrough({
      store, statistics: this.#statistics, now, version, defaults, onFault
    })
    this.#fillLeases = new FillLeases({ store, now, onFault, maxWaiters })
    this.#scheduleCleaning()
  }

  get backend (): Store['name'] { return this.#store.name }
  get limits (): Readonly<Limits> { return this.#limits }
  /** How entries are written outside the process, and what is applied to them there; undefined where none are. */
  get format (): RecordFormat | undefined { return this.#store.format }
  /** Whether the server behind the cache is left alone for the moment; undefined without one. */
  get breaker (): BreakerState | undefined { return this.#store.breaker }
  /** The time that entries are held against, in milliseconds since the epoch; monotonic, so it may differ from the wall clock. */
  get now (): number { return this.#now() }

  /** The entry, undefined when there is none. Counts as a hit or a miss, and as a use of the entry. */
  get (namespace: string, key: string, caller?: Caller): MaybePromise<Entry | undefined> { return this.#get(namespace, key, caller) }

  /** The same without counting or touching anything. @param isStaleToo whether one that is past its TTL, and within its grace, is told as well */
  peek (namespace: string, key: string, isStaleToo = false, caller?: Caller): MaybePromise<Entry | undefined> {
    const { memory } = this.#store
    const slot = this.#store.isTrusted ? memory.find(namespace, key) : -1
    if (slot !== -1 && (isStaleToo || memory.isFresh(slot))) return memory.entry(slot)
    const told = (entry: StoredEntry | undefined) => isStaleToo && entry !== undefined ? snapshot(entry) : this.#fresh(entry)
    const fetched = this.#store.fetch(namespace, key, caller)
    return fetched instanceof Promise ? fetched.then(told) : told(fetched)
  }

  /** In the order asked; one round trip for what is not in memory. */
  getMany (namespace: string, keys: readonly string[], caller?: Caller): MaybePromise<(Entry | undefined)[]> {
    if (this.#store.name === 'memory') {
      const answers = keys.map((key) => this.#get(namespace, key, caller))
      return answers.some((answer) => answer instanceof Promise) ? Promise.all(answers.map(async (answer) => await answer)) : answers as (Entry | undefined)[]
    }
    return this.#getManyShared(namespace, keys, caller)
  }

  /**
   * Stores an entry under a new version.
   * @throws PreconditionFailedError · EntryTooLargeError · InvalidLifetimeError · BackendUnavailableError · BackendFullError
   */
  set (namespace: string, key: string, entry: NewEntry, condition?: Condition, caller?: Caller): MaybePromise<Entry> {
    const stored = this.#entries.make(namespace, key, entry)
    if (condition === undefined) {
      const outcome = this.#store.set(stored, undefined, caller)
      return outcome instanceof Promise ? outcome.then((outcome) => this.#written(stored, outcome)) : this.#written(stored, outcome)
    }
    return this.#setIf(stored, condition, caller)
  }

  /**
   * The entry; when there is none, the lease to fill it for the first who asks, while the others wait for the value (or get a stale one
   * that is there). Counts as `get` does.
   * @param milliseconds that the lease lasts, and that a caller waits at most: 'none' then
   * @throws TooManyWaitersError · BackendUnavailableError
   */
  async getOrLease (namespace: string, key: string, milliseconds: number, caller?: Caller): Promise<LeasedRead> {
    const entry = await this.#get(namespace, key, caller)
    if (entry !== undefined) return { kind: 'found', entry }
    const outcome = await this.#fillLeases.get(namespace, key, milliseconds, caller)
    if (!('entry' in outcome)) return outcome
    const counters = this.#statistics.of(namespace)
    if (outcome.kind === 'stale') counters.stale++
    else counters.coalesced++
    return { kind: outcome.kind, entry: snapshot(this.#touched(outcome.entry)) }
  }

  /**
   * Stores the value that a lease was given for, if nothing has happened to the key since.
   * @throws LeaseLostError, and what `set` throws
   */
  async fill (namespace: string, key: string, entry: NewEntry, token: string, caller?: Caller): Promise<Entry> {
    const stored = this.#entries.make(namespace, key, entry)
    await this.#fillLeases.fill(stored, token, caller)
    return this.#written(stored)
  }

  /** @returns whether there was an entry */
  delete (namespace: string, key: string, condition?: Condition, caller?: Caller): MaybePromise<boolean> {
    this.#statistics.of(namespace).deletes++
    if (condition !== undefined) return this.#deleteIf(namespace, key, condition, caller)
    this.#observer?.deleted(namespace, key)
    const outcome = this.#store.delete(namespace, key, undefined, caller)
    return outcome instanceof Promise ? outcome.then(existed) : existed(outcome)
  }

  async deleteMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<boolean[]> {
    const deleted: boolean[] = []
    await inOrder(keys, async (key, at) => { deleted[at] = await this.delete(namespace, key, undefined, caller) }, caller)
    return deleted
  }

  /**
   * Gives the entry another time to live; value and version stay.
   * @param ttl seconds, 0 never expires
   * @throws InvalidLifetimeError
   */
  async touch (namespace: string, key: string, ttl: number, caller?: Caller): Promise<Entry | undefined> {
    for (;;) {
      const entry = await this.#store.latest(namespace, key, caller)
      if (entry === undefined || entry.expiresAt <= this.#now()) return undefined
      throwIfGone(caller)
      const expiresAt = this.#entries.expiry(key, ttl)
      const goneAt = goneAfter(expiresAt, graceOf(entry) / 1000)
      const outcome = await this.#store.expire(entry, expiresAt, goneAt, caller)
      if (typeof outcome === 'object') {
        const touched = { ...entry, expiresAt, goneAt }
        this.#observer?.touched(touched)
        return snapshot(touched)
      }
      throwIfGone(caller)
    }
  }

  /**
   * Adds to a number, atomically. An absent key starts at 0; the time to live of a present one stays unless `ttl` is given.
   * @throws WrongTypeError when the value is no number, or the sum is none that a double can hold
   */
  async increment (namespace: string, key: string, by: number, { ttl }: { ttl?: number | undefined } = {}, caller?: Caller): Promise<Entry> {
    const { entry, outcome } = await this.#increments.add(namespace, key, by, ttl, caller)
    return this.#written(entry, outcome)
  }

  /** Entries whose key matches, without touching them. @throws InvalidCursorError */
  async list (namespace: string, query: ListQuery, caller?: Caller): Promise<Listing> {
    const from = query.cursor === undefined ? query : { ...query, cursor: openCursor(query.cursor) }
    const { cursor, ...page } = await this.#store.list(namespace, from, caller)
    return { ...page, cursor: cursor === undefined ? undefined : sealCursor(cursor) }
  }

  /**
   * Every entry of a namespace (of all, when undefined) whose key matches and lies within, in portions, without counting or touching
   * anything: bounded memory however many there are. What is written meanwhile may be met or not; over a shared backend an entry may come twice.
   */
  async * dump (namespace: string | undefined, pattern?: string, within?: Matcher, caller?: Caller): AsyncGenerator<Entry[]> {
    const matches = matcherOf({ pattern, within }) ?? (() => true)
    for await (const entries of whileThere(this.#store.dump(namespace, matches, caller), caller)) if (entries.length > 0) yield entries.map(snapshot)
  }

  /** In force from the answer on; answers how many entries fell to it: those that are gone, and of a soft one those that are stale. */
  async invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<number> {
    const { removed, outdated } = await this.drop(namespace, what, caller)
    return removed + outdated
  }

  /** The same, answering both numbers. */
  async drop (namespace: string, what: Invalidation, caller?: Caller): Promise<Fallen> {
    this.#statistics.of(namespace).invalidations++
    this.#observer?.invalidated(namespace, what)
    return await this.#store.invalidate(namespace, what, caller)
  }

  /** The same for everything in the namespace, or for the keys that match the pattern. */
  async clear (namespace: string, pattern?: string, caller?: Caller): Promise<number> {
    return await this.invalidate(namespace, pattern === undefined ? { all: true } : { pattern }, caller)
  }

  /** What `invalidate` would drop now, without dropping, counting or touching anything. Looks for two seconds at most: see `Preview`. */
  async preview (namespace: string, what: Invalidation, caller?: Caller): Promise<Preview> {
    return await previewOf(whileThere(this.#store.outlines(namespace), caller), what)
  }

  async statistics (namespace?: string, caller?: Caller): Promise<CacheStatistics> {
    return { ...await this.#store.usage(namespace, caller), ...this.counters(namespace) }
  }

  /** What can be told without asking the backend. */
  counters (namespace?: string): Omit<CacheStatistics, keyof Usage> {
    const removals = this.#store.memory.counters(namespace)
    // What a memory tier has no room for is still behind it.
    const evictions = this.#store.evictions?.(namespace) ?? removals.evictions
    return { ...this.#statistics.read(namespace), ...removals, evictions, unreadable: this.format?.unreadable(namespace) ?? 0, damaged: this.#store.damaged?.(namespace) ?? 0 }
  }

  /** Namespaces in which something was counted, in the order in which that began: the first ten thousand. */
  namespaces (): Iterable<string> { return this.#statistics.names }

  /** Callers of `getOrLease` that wait now. */
  get waiters (): number { return this.#fillLeases.waiting }

  /** Entries and bytes in this process's memory. */
  get memoryUsage (): Usage { return { items: this.#store.memory.items, bytes: this.#store.memory.bytes } }

  /** Entries and bytes that the limits are held against, by the backend's own count; undefined where nothing counts, as in Redis without limits. */
  async standing (): Promise<Usage | undefined> { return this.#store.name === 'memory' ? this.memoryUsage : await this.#store.standing?.() }

  /** Whether what is in memory may be answered with: a process that does not hear of the changes of others may not. */
  get isTrusted (): boolean { return this.#store.isTrusted }

  /** Takes new limits. They count from now on; what they have no room for goes in slices of a few milliseconds: see `settled`. */
  configure (limits: Partial<Limits>): void {
    const previous = this.#limits
    const given = Object.entries(limits).filter(([, value]) => value !== undefined)
    const next = { ...previous, ...Object.fromEntries(given) as Partial<Limits> }
    this.#store.configure(next)
    this.#limits = next
    if (this.#limits.cleanupInterval !== previous.cleanupInterval) this.#scheduleCleaning()
  }

  /** What entries of a namespace get whose writer says nothing. */
  defaultsOf (namespace: string): Readonly<EntryDefaults> {
    const own = this.#ownDefaults.get(namespace)
    if (own === undefined) return this.#limits
    const { defaultTtl, strategy } = this.#limits
    return { defaultTtl, strategy, ...own }
  }

  /** Gives namespaces defaults of their own, and takes them from all others. They count for what is written from now on. */
  configureNamespaces (own: ReadonlyMap<string, Partial<EntryDefaults>>): void { this.#ownDefaults = own }

  /** Settles when what the limits have no room for is gone, or cannot be reached now. */
  async settled (): Promise<void> { await this.#store.settled() }

  /**
   * The value under a key of the cache's own namespace; loads and keeps it when it is not there.
   * Each caller gets a copy of its own, unless it asks for one that is `shared`.
   * @throws InvalidLifetimeError, before the loader runs, where nothing is there; what the loader throws; LoadTimeoutError
   */
  getOrSet<T> (key: string, loader: Loader<T>, options: GetOrSetOptions<T> = NO_OPTIONS): Promise<T> {
    return this.#readThrough.getOrSet(this.namespace, key, loader, options)
  }

  /** The same as ready bytes, with what happened. */
  read<T> (key: string, loader: Loader<T>, options: GetOrSetOptions<T> = NO_OPTIONS): MaybePromise<Reading<T>> {
    return this.#readThrough.read(this.namespace, key, loader, options)
  }

  /**
   * The values under several keys, each key's own outcome in the order asked: those that are there in one round trip, the others in
   * one call of the loader, but for what is being loaded by someone else, which is waited for. A key that fails does not spoil the
   * others; every option holds for each key by itself.
   */
  async getOrSetMany<T> (keys: readonly string[], loader: ManyLoader<T>, options: GetOrSetOptions<T> = NO_OPTIONS): Promise<ManyOutcome<T>[]> {
    return await this.#readThrough.getOrSetMany(this.namespace, keys, loader, options)
  }

  /**
   * Changes the origin and keeps the new value: `change` commits, and answers the value as it is from then on. When another
   * change or deletion of the key comes in between, nothing is kept, so that the older of two values never stays.
   * When `change` throws, what is cached is dropped, since it is not known how far it came.
   */
  async update<T> (key: string, change: () => Promise<T>, options: GetOrSetOptions<T> = {}): Promise<T> {
    return await this.#readThrough.update(this.namespace, key, change, options)
  }

  /** Drops a key of the cache's own namespace after its origin changed. The cache being down is no error: it is told later. */
  async forget (...keys: string[]): Promise<void> {
    this.#statistics.of(this.namespace).deletes += keys.length
    await Promise.all(keys.map((key) => this.#store.forget(this.namespace, key)))
  }

  /** Drops what carries any of the tags, or matches the pattern, in the same way. Takes the same time however much that is. */
  async outdate (what: Invalidation): Promise<void> {
    this.#statistics.of(this.namespace).invalidations++
    await this.#store.outdate(this.namespace, what)
  }

  async close (): Promise<void> {
    clearInterval(this.#cleaning)
    await this.#store.close()
  }

  #get (namespace: string, key: string, caller: Caller | undefined): MaybePromise<Entry | undefined> {
    const counters = this.#statistics.of(namespace)
    const { memory } = this.#store
    const slot = this.#store.isTrusted ? memory.hit(namespace, key) : -1
    if (slot !== -1) {
      counters.hits++
      counters.memoryHits++
      const entry = memory.entry(slot)
      this.#observer?.hit(entry)
      if (this.#isShared) this.#store.noteRead(entry, memory.versionAt(slot))
      return entry
    }
    const fetched = this.#store.fetch(namespace, key, caller)
    return fetched instanceof Promise ? fetched.then((entry) => this.#seen(entry, namespace, key)) : this.#seen(fetched, namespace, key)
  }

  #scheduleCleaning (): void {
    clearInterval(this.#cleaning)
    // Timers overflow past 24.8 days; an interval that long is as good as once in 24 days.
    const interval = Math.min(this.#limits.cleanupInterval * 1000, 2 ** 31 - 1)
    this.#cleaning = setInterval(() => {
      this.#store.clean().catch((error: unknown) => { if (!isOutage(error)) this.#onFault(error) })
    }, interval)
    this.#cleaning.unref()
  }

  async #getManyShared (namespace: string, keys: readonly string[], caller: Caller | undefined): Promise<(Entry | undefined)[]> {
    const answers: (Entry | undefined)[] = []
    const missing: number[] = []
    const { memory } = this.#store
    for (const [at, key] of keys.entries()) {
      const slot = this.#store.isTrusted ? memory.find(namespace, key) : -1
      if (slot !== -1 && memory.isFresh(slot)) answers[at] = this.#get(namespace, key, caller) as Entry
      else missing.push(at)
    }
    // Each key once, however often it is asked for.
    const wanted = [...new Set(missing.map((at) => keys[at] as string))]
    const entries = await this.#store.fetchMany(namespace, wanted, caller)
    const fetched = new Map(wanted.map((key, position) => [key, entries[position]]))
    for (const at of missing) answers[at] = this.#seen(fetched.get(keys[at] as string), namespace, keys[at] as string)
    return answers
  }

  #fresh (entry: StoredEntry | undefined): Entry | undefined {
    return entry === undefined || entry.expiresAt <= this.#now() ? undefined : snapshot(entry)
  }

  /** A read that was answered from behind the memory tier. */
  #seen (entry: StoredEntry | undefined, namespace: string, key: string): Entry | undefined {
    const counters = this.#statistics.of(namespace)
    if (entry === undefined || entry.expiresAt <= this.#now()) {
      counters.misses++
      this.#observer?.miss(namespace, key)
      return undefined
    }
    counters.hits++
    this.#observer?.hit(entry)
    const read = this.#touched(entry)
    this.#store.noteRead(read, entry.version)
    return snapshot(read)
  }

  /** The entry with this read counted, in memory as well when it is kept there: the next read counts on. */
  #touched (entry: StoredEntry): StoredEntry {
    const { memory, isTrusted } = this.#store
    const slot = isTrusted ? memory.find(entry.namespace, entry.key) : -1
    if (slot === -1 || memory.versionAt(slot) !== entry.version) {
      return { ...entry, accessCount: entry.accessCount + 1, accessedAt: this.#now() }
    }
    memory.touch(slot)
    return memory.stored(slot)
  }

  /** Counts a write that was made, and tells of it. The entry as the write left it. */
  #written (entry: StoredEntry, outcome?: WriteOutcome): Entry {
    this.#statistics.of(entry.namespace).sets++
    this.#observer?.written(entry)
    return snapshotOf(entry, typeof outcome === 'object' ? outcome.storedLength : undefined)
  }

  #setIf (stored: StoredEntry, condition: Condition, caller: Caller | undefined): MaybePromise<Entry> {
    return this.#conditionally(stored.key, condition, (check) => this.#store.set(stored, check, caller), (outcome) => this.#written(stored, outcome))
  }

  #deleteIf (namespace: string, key: string, condition: Condition, caller: Caller | undefined): MaybePromise<boolean> {
    return this.#conditionally(key, condition, (check) => this.#store.delete(namespace, key, check, caller), (outcome) => {
      this.#observer?.deleted(namespace, key)
      return existed(outcome)
    })
  }

  #conditionally<R> (
    key: string, condition: Condition,
    write: (check: WriteCondition) => MaybePromise<WriteOutcome>, answer: (outcome: WriteOutcome) => R
  ): MaybePromise<R> {
    const finish = (outcome: WriteOutcome): R => {
      if (outcome === 'precondition') throw new PreconditionFailedError(key)
      return answer(outcome)
    }
    const outcome = write('absent' in condition ? { absent: true } : { version: parseVersion(condition.version) })
    return outcome instanceof Promise ? outcome.then(finish) : finish(outcome)
  }
}

const existed = (outcome: WriteOutcome): boolean => typeof outcome === 'object' && outcome.existed
