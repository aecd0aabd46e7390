import { setTimeout as delay } from 'node:timers/promises'
import type { Change, ChangeListener, Drawn, InForce, Outline, ScannedEntry, SharedBackend } from '../backends/backend.js'
import { MemoryBackend } from '../backends/memory.js'
import { type Caller, isLeaving, throwIfGone, unlessGone } from '../caller.js'
import type { Now } from '../clock.js'
import { goneAfterSoft, sizeOf, type StoredEntry } from '../entry.js'
import { isOutage, type OnFault, warnOfFault } from '../faults.js'
import type { Matcher } from '../glob.js'
import { type Claim, InFlight, nameOf, type Operation } from '../in-flight.js'
import { type Leases, LocalLeases } from '../leases.js'
import { type Concerned, type Fallen, type Invalidation, Ledger, type Marker } from '../ledger.js'
import type { Limits } from '../limits.js'
import type { BreakerState } from '../breaker.js'
import type { RecordFormat } from '../record-format.js'
import { Wakeups } from '../wakeups.js'
import { Debts } from './debts.js'
import { Doubt } from './doubt.js'
import { type Progress, Reclaiming } from './reclaiming.js'
import { Retirement } from './retirement.js'
import { SharedLeases } from './shared-leases.js'
import { SharedView } from './shared-view.js'
import type { ListQuery, Listing, Store, Usage, WriteCondition, WriteOutcome } from './store.js'

/** How long an answer waits for entries to be counted, in milliseconds; reclaiming goes on behind it. */
const COUNTING_TIME = 2000
const RETIRE_AFTER = 120_000
/** Between two tries to pay what the backend is owed, in milliseconds. */
const SETTLE_INTERVAL = 250
/** How long an end waits for it, in milliseconds. */
const CLOSE_WITHIN = 2000

export interface SharedStoreOptions {
  backend: SharedBackend
  now: Now
  /** Of the memory tier. */
  limits: Limits
  /** Milliseconds that an invalidation outlives the sweep that reclaimed its entries. Default two minutes, longer than any load may take. */
  retireAfter?: number
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

/**
 * A memory tier in front of a backend that several processes share. Every write goes to the backend first; the others hear of it
 * and drop what they hold. While the backend's announcements cannot be relied on, the memory tier is neither read nor filled.
 */
export class SharedStore implements Store, ChangeListener {
  readonly name
  readonly memory: MemoryBackend
  readonly wakeups = new Wakeups()
  readonly leases: Leases
  #backend: SharedBackend
  #now: Now
  #ledger = new Ledger()
  #inFlight = new InFlight()
  /** By name, the reads under way that others may wait for, and on whose behalf they are made. */
  #fetches = new Map<string, { result: Promise<StoredEntry | undefined>, caller: Caller | undefined }>()
  #debts: Debts
  #view: SharedView
  #settling: NodeJS.Timeout
  #retireAfter: number
  #retirement: Retirement
  #reclaiming: Reclaiming
  #doubt: Doubt

  constructor ({ backend, now, limits, retireAfter = RETIRE_AFTER, onFault = warnOfFault }: SharedStoreOptions) {
    this.#retireAfter = retireAfter
    this.name = backend.name
    this.#backend = backend
    this.#now = now
    this.memory = new MemoryBackend({ now, limits, ledger: this.#ledger })
    const alone = new LocalLeases({
      now,
      wakeups: this.wakeups,
      begin: async (namespace, key) => await this.begin(namespace, key),
      again: (operation) => this.#inFlight.again(operation),
      end: (operation) => { this.end(operation) }
    })
    this.leases = backend.leases === undefined
      ? alone
      : new SharedLeases({ giver: backend.leases, backend, inFlight: this.#inFlight, wakeups: this.wakeups, alone })
    this.#retirement = new Retirement({ backend, ledger: this.#ledger, now, after: retireAfter, onFault })
    this.#reclaiming = new Reclaiming(backend, this.#ledger, now)
    this.#debts = new Debts({
      backend,
      ledger: this.#ledger,
      inFlight: this.#inFlight,
      onPaid: (namespace, what, stamp, inForce) => {
        this.#retirement.add(namespace, what, stamp)
        this.#apply(inForce)
      }
    })
    this.#doubt = new Doubt({ backend, onTold: (inForce) => { this.#apply(inForce) }, onFault })
    this.#view = new SharedView({ backend, isVisible: (entry) => this.#isVisible(entry), catchUp: async () => { await this.#catchUp() } })
    this.#settling = setInterval(() => {
      void this.#debts.pay()
      void this.#retirement.run()
      void this.#doubt.clear()
    }, SETTLE_INTERVAL)
    this.#settling.unref()
  }

  get isTrusted (): boolean { return this.#backend.isFollowing }
  get format (): RecordFormat { return this.#backend.format }
  get breaker (): BreakerState | undefined { return this.#backend.breaker }

  /** Starts to listen. Settles when the backend answered, or is known not to. */
  async open (): Promise<void> { await this.#backend.follow(this) }

  fetch (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined> {
    const name = nameOf(namespace, key)
    const others = this.#fetches.get(name)
    if (others !== undefined) {
      if (others.caller === undefined) return others.result
      return others.result.catch(async (error: unknown) => {
        if (!isLeaving(error, others.caller)) throw error
        // That was another one's leaving.
        throwIfGone(caller)
        return await this.fetch(namespace, key, caller)
      })
    }
    const result = this.#fetch(namespace, key, name, caller).finally(() => { if (this.#fetches.get(name)?.result === result) this.#fetches.delete(name) })
    this.#fetches.set(name, { result, caller })
    return result
  }

  async fetchMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<(StoredEntry | undefined)[]> {
    const operations = keys.map((key) => this.#inFlight.beginRead(nameOf(namespace, key)))
    try {
      const [entries] = await Promise.all([this.#backend.getMany(namespace, keys, caller), this.#catchUp()])
      return entries.map((entry, at) => this.#accept(entry, operations[at] as Operation))
    } finally {
      for (const operation of operations) this.#inFlight.end(operation)
    }
  }

  async latest (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined> {
    const [entry] = await this.fetchMany(namespace, [key], caller)
    return entry
  }

  async begin (namespace: string, key: string): Promise<Operation> {
    const name = nameOf(namespace, key)
    try {
      const [stamp, claim] = await Promise.all([this.#backend.stamp(), this.#backend.claim?.(namespace, key)])
      return this.#inFlight.begin(name, stamp, true, claim)
    } catch (error) {
      if (!isOutage(error)) throw error
      return this.#inFlight.begin(name, this.#ledger.stamp, false)
    }
  }

  resume (namespace: string, key: string, stamp: number | undefined, claim?: Claim): Operation {
    return this.#inFlight.begin(nameOf(namespace, key), stamp ?? this.#ledger.stamp, stamp !== undefined, claim)
  }

  end (operation: Operation): void { this.#inFlight.end(operation) }

  isCurrent (operation: Operation, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return operation.supersededAt === 0 && this.isTrueSince(operation.stamp, namespace, key, tags)
  }

  isTrueSince (stamp: number, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return this.#ledger.namespace(namespace).isCurrent(key, tags, stamp)
  }

  async set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    const check = await this.#actual(entry.namespace, entry.key, condition, caller)
    if (check === 'precondition') return check
    return await this.#change(entry.namespace, entry.key, async () => await this.#backend.set(entry, check, caller), entry)
  }

  async fill (operation: Operation, entry: StoredEntry): Promise<WriteOutcome> {
    if (operation.supersededAt > 0 || !operation.isOrdered || this.#now() - entry.createdAt > this.#retireAfter) return 'superseded'
    const outcome = await this.#backend.fill({ ...entry, stamp: operation.stamp }, operation.claim)
    if (typeof outcome === 'object') {
      this.#keep({ ...entry, stamp: operation.stamp, storedLength: outcome.storedLength }, operation)
      this.#inFlight.supersedeOlder(operation)
      this.wakeups.wake(operation.name)
    }
    return outcome
  }

  async replace (operation: Operation, entry: StoredEntry): Promise<WriteOutcome> {
    if (operation.supersededAt > 0 || !operation.isOrdered) {
      await this.forget(entry.namespace, entry.key)
      return 'superseded'
    }
    const outcome = await this.#changing(operation, entry.namespace, entry.key,
      async () => await this.#backend.replace({ ...entry, stamp: operation.stamp }, operation.claim))
    if (typeof outcome === 'object') this.#keep({ ...entry, stamp: operation.stamp, storedLength: outcome.storedLength }, operation)
    this.wakeups.wake(operation.name)
    return outcome
  }

  async delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    const check = await this.#actual(namespace, key, condition, caller)
    if (check === 'precondition') return check
    return await this.#change(namespace, key, async () => await this.#backend.delete(namespace, key, check, caller))
  }

  async forget (namespace: string, key: string): Promise<void> {
    try {
      await this.delete(namespace, key)
    } catch (error) {
      if (!isOutage(error)) throw error
      this.#debts.oweDeletion(namespace, key)
    }
  }

  async expire (entry: StoredEntry, expiresAt: number, goneAt: number, caller?: Caller): Promise<WriteOutcome> {
    const { namespace, key, version } = entry
    return await this.#change(namespace, key, async () => await this.#backend.expire(namespace, key, version, expiresAt, goneAt, caller))
  }

  noteRead (entry: { namespace: string, key: string, accessedAt: number }, version: number): void {
    this.#backend.recordAccess(entry.namespace, entry.key, version, 1, entry.accessedAt)
  }

  async invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<Fallen> {
    const { marker, outdates } = await this.#record(namespace, what, caller)
    throwIfGone(caller)
    const progress: Progress = { removed: 0, outdated: 0, outdates, met: new Set() }
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, COUNTING_TIME)
      progress.onAway = resolve
    })
    const sweeping = this.#reclaiming.reclaim(namespace, marker.stamp, progress)
    try {
      await unlessGone(Promise.race([sweeping, enough]), caller)
    } catch (error) {
      progress.hasLeft = isLeaving(error, caller)
      throw error
    } finally {
      clearTimeout(timer)
      progress.isAnswered = true
      progress.met.clear()
    }
    const { removed, outdated } = progress
    return { removed, outdated }
  }

  async outdate (namespace: string, what: Invalidation): Promise<void> {
    try {
      await this.#record(namespace, what)
    } catch (error) {
      if (!isOutage(error)) throw error
      this.#debts.oweInvalidation(namespace, what)
    }
  }

  async list (namespace: string, query: ListQuery, caller?: Caller): Promise<Listing> { return await this.#view.list(namespace, query, caller) }
  dump (namespace: string | undefined, matches: Matcher, caller?: Caller): AsyncIterable<StoredEntry[]> { return this.#view.dump(namespace, matches, caller) }
  outlines (namespace: string): AsyncIterable<Outline[]> { return this.#view.outlines(namespace) }
  async usage (namespace?: string, caller?: Caller): Promise<Usage> { return await this.#view.usage(namespace, caller) }
  async standing (): Promise<Usage | undefined> { return await this.#backend.standing?.() }
  async sample (namespace: string | undefined, most: number): Promise<Drawn | undefined> { return await this.#view.sample(namespace, most) }
  scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> { return this.#view.scan(namespace) }

  /** The memory tier has limits of its own. */
  configure (limits: Limits): void { this.#backend.configure?.(limits) }

  async settled (): Promise<void> { await this.#backend.settled?.() }

  evictions (namespace?: string): number | undefined { return this.#backend.evictions?.(namespace) }

  damaged (namespace?: string): number | undefined { return this.#backend.damaged?.(namespace) }

  async clean (): Promise<void> {
    const { revision } = this.#ledger
    await this.memory.sweep()
    // While it cannot be asked, or is owed an invalidation, nothing here may be forgotten.
    if (!this.isTrusted || this.#debts.hasInvalidations) return
    await this.#backend.sweep?.()
    const inForce = await this.#backend.inForce()
    // What the backend has forgotten, no entry there can fall to; and every entry here has just been held against it.
    const stamps = new Set(inForce.map(({ stamp }) => stamp))
    this.#ledger.retire(revision, this.#inFlight.oldest(), (namespace) => this.memory.holds(namespace), ({ stamp }) => stamps.has(stamp))
    this.#apply(inForce)
    this.#retirement.adopt(inForce)
  }

  async close (): Promise<void> {
    clearInterval(this.#settling)
    // What is still owed would be lost. Where the backend is away that takes no time.
    await Promise.race([this.#debts.pay(), delay(CLOSE_WITHIN, undefined, { ref: false })])
    await this.#backend.close()
  }

  onChange (change: Change): void {
    if (change.kind === 'invalidation') {
      this.#ledger.record(change.namespace, change.what, change.stamp)
    } else {
      const name = nameOf(change.namespace, change.key)
      this.#inFlight.supersede(name, undefined, change.stamp)
      this.memory.deleteBefore(change.namespace, change.key, change.stamp)
      this.wakeups.wake(name)
    }
  }

  onRelease (namespace: string, key: string): void { this.wakeups.wake(nameOf(namespace, key)) }

  /** Who waits for an announcement may do so in vain. */
  onLost (): void { this.wakeups.wakeAll() }

  onResync (inForce: InForce[]): void {
    this.#inFlight.supersedeAll()
    this.memory.reset()
    this.#apply(inForce)
    this.wakeups.wakeAll()
  }

  async #fetch (namespace: string, key: string, name: string, caller: Caller | undefined): Promise<StoredEntry | undefined> {
    const operation = this.#inFlight.beginRead(name)
    try {
      const [entry] = await Promise.all([this.#backend.get(namespace, key, caller), this.#catchUp()])
      return this.#accept(entry, operation)
    } finally {
      this.#inFlight.end(operation)
    }
  }

  /**
   * The condition as the backend has to check it. An entry may still be there that has fallen to an invalidation or is past its
   * TTL: for callers it is absent, and no version of it matches.
   */
  async #actual (namespace: string, key: string, condition: WriteCondition | undefined, caller: Caller | undefined): Promise<WriteCondition | 'precondition' | undefined> {
    if (condition === undefined) return undefined
    const [entry] = await Promise.all([this.#backend.get(namespace, key, caller), this.#catchUp()])
    throwIfGone(caller)
    const isThere = entry !== undefined && entry.expiresAt > this.#now() &&
      this.#ledger.namespace(namespace).verdict(key, entry.tags, entry.stamp, 0) === undefined
    if ('absent' in condition) {
      if (isThere) return 'precondition'
      return entry === undefined ? condition : { absent: true, absentOr: entry.version }
    }
    return isThere && entry.version === condition.version ? condition : 'precondition'
  }

  /** The fetched entry if it may be seen, put into the memory tier if it may be kept. */
  #accept (entry: StoredEntry | undefined, operation: Operation): StoredEntry | undefined {
    if (entry === undefined || this.#debts.has(operation.name)) return undefined
    const marker = this.#ledger.namespace(entry.namespace).verdict(entry.key, entry.tags, entry.stamp, 0)
    if (marker !== undefined && !marker.soft) return undefined
    const accepted = marker === undefined
      ? entry
      : { ...entry, expiresAt: Math.min(entry.expiresAt, this.#now()), goneAt: goneAfterSoft(entry, this.#now()) }
    if (accepted.goneAt <= this.#now()) return undefined
    this.#keep(accepted, operation)
    return accepted
  }

  #keep (entry: StoredEntry, operation: Operation): void {
    if (operation.supersededAt > entry.stamp || !this.isTrusted || this.#debts.has(operation.name)) return
    if (sizeOf(entry.key, entry.value, entry.tags, entry.metadata) <= this.memory.maxMemory) this.memory.put(entry)
    else this.memory.delete(entry.namespace, entry.key)
  }

  /** A write of one key: whatever is under way for it is void, and memory holds nothing of it until the backend has it. */
  async #change (namespace: string, key: string, write: () => Promise<WriteOutcome>, entry?: StoredEntry): Promise<WriteOutcome> {
    const name = nameOf(namespace, key)
    const operation = this.#inFlight.begin(name, Infinity)
    try {
      const outcome = await this.#changing(operation, namespace, key, write)
      if (typeof outcome === 'object') {
        this.#debts.forgive(name)
        if (entry !== undefined) this.#keep({ ...entry, stamp: outcome.stamp, storedLength: outcome.storedLength }, operation)
      }
      return outcome
    } finally {
      this.#inFlight.end(operation)
      this.wakeups.wake(name)
    }
  }

  async #changing (operation: Operation, namespace: string, key: string, write: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    const { name } = operation
    this.#inFlight.changing(name, operation)
    // A read under way may bring what was there before: it is not for those who ask after the change.
    this.#fetches.delete(name)
    this.memory.delete(namespace, key)
    try {
      return await write()
    } finally {
      this.#inFlight.changed(name)
      // So may one that began meanwhile: not every backend takes reads and changes in the order in which they were asked for.
      this.#fetches.delete(name)
    }
  }

  /** While announcements do not come, the invalidations of the others have to be asked for. */
  async #catchUp (): Promise<void> {
    if (!this.isTrusted) this.#apply(await this.#backend.inForce())
  }

  #apply (inForce: InForce[]): void {
    for (const { namespace, what, stamp } of inForce) {
      if (!this.#ledger.namespace(namespace).knows(what, stamp)) this.#ledger.record(namespace, what, stamp)
    }
  }

  /** Makes an invalidation hold, here and elsewhere. */
  async #record (namespace: string, what: Invalidation, caller?: Caller): Promise<{ marker: Marker, outdates: Concerned | undefined }> {
    const stamp = await this.#backend.invalidate(namespace, what, caller).catch((error: unknown) => {
      if (isOutage(error)) this.#doubt.begin()
      throw error
    })
    const outdates = what.soft === true ? this.#ledger.namespace(namespace).outdatedBy(what, stamp) : undefined
    const marker = this.#ledger.record(namespace, what, stamp)
    this.#retirement.add(namespace, what, marker.stamp)
    return { marker, outdates }
  }

  /** Whether callers may see an entry that the backend holds. */
  #isVisible ({ namespace, key, tags, stamp, expiresAt, isUnreadable }: Omit<Outline, 'size'>): boolean {
    return isUnreadable === undefined && expiresAt > this.#now() && !this.#debts.has(nameOf(namespace, key)) &&
      this.#ledger.namespace(namespace).verdict(key, tags, stamp, 0) === undefined
  }
}
