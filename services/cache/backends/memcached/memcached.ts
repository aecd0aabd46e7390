import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Now } from '../../clock.js'
import type { StoredEntry } from '../../entry.js'
import { BackendUnavailableError, UnsupportedOperationError } from '../../errors.js'
import { isOutage as isAway, type OnFault, warnOfFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import type { Invalidation } from '../../ledger.js'
import type { LeaseGiver } from '../../leases.js'
import { prefixLength } from '../../record.js'
import { type Facts, type PackedRecord, RecordFormat } from '../../record-format.js'
import type { BreakerState } from '../../resilience.js'
import type { ChangeListener, Claim, InForce, ScannedEntry, SharedBackend, WriteCondition, WriteOutcome } from '../backend.js'
import type { BegunChange, Coordination, Place } from '../coordination/coordination.js'
import { Sequences, Turns } from '../turns.js'
import { Guard } from '../guard.js'
import { ReadReports, type Reads } from '../reads.js'
import type { Hold, Item, MemcachedClient, Seen, Stored } from './client.js'
import { type DumpedItem, NO_DUMP } from './dump.js'
import { isFull, isOutage, isTooLarge } from './faults.js'
import { ItemTooLargeError } from './item-too-large.js'
import { frame, packReads, unframe, unpackReads } from './items.js'
import { type ItemName, ItemNames } from './names.js'

/** How long an operation may take, and how many times as long a step of a pass over everything, in milliseconds. */
const DEADLINE = 200
const SCAN_FACTOR = 5
/** Seconds for which a load's claim is kept: longer than any load may take. */
const CLAIM_TIME = 120
/** Changes that are made at once; more wait, with their deadlines still ahead of them. */
const AT_ONCE = 64
/** How often and for how many milliseconds a change is tried again that others came before. */
const TRIES = 100
const TRYING_TIME = 1000
/** A change that was begun so many milliseconds ago is over, or its maker is. */
const ABANDONED_AFTER = 5000
const SETTLE_INTERVAL = 1000
/** Keys that are asked for at once, each with its reads. */
const BATCH = 100
/** Items in a portion of a scan, and their bytes in the server. */
const PORTION = 250
const PORTION_BYTES = 4 * 1024 * 1024
/** Scanned entries whose items are remembered. */
const REMEMBERED = 8 * PORTION
/** Offsets in a record: see record.ts. */
const EXPIRES_AT = 32
const GONE_AT = 40

export interface MemcachedOptions {
  /** Not closed here. */
  client: MemcachedClient
  /** Closed with the backend. */
  coordination: Coordination
  now: Now
  /** Before every name. Safe, and without a colon. Default `larder`. */
  prefix?: string
  /** Default: JSON text as it is. */
  format?: RecordFormat
  /** Milliseconds that an operation may take. Default 200. A step of a pass over everything may take five times as long. */
  deadline?: number
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

/** What a change does to the item that it found, and how it went then. */
interface Plan {
  act: 'remove' | 'leave' | Stored
  outcome: WriteOutcome
  /** Thrown once it is done. */
  error?: Error
}

type Decide = (name: ItemName, item: Item | undefined, place: Place) => Plan | 'precondition' | Promise<Plan | 'precondition'>

/** Where an entry of this version was found. */
interface Found { version: number, name: ItemName, seen: Seen }

type ItemClaim = Claim & Hold
/** A CAS value, and the run of the server that gave it. */
const CLAIM_TOKEN = /^(\d{1,20})-([\w-]{1,32})$/

type Discarded = Pick<ScannedEntry, 'key' | 'version'>

/** An item as an entry, if it holds one that is not gone. */
interface Live { facts: Facts, record: Buffer }

/**
 * Entries in memcached, as one item each, in an order that is kept elsewhere (see `Coordination`). memcached may forget anything at
 * any time, and has no step that changes an item and announces it, so this is what the order rests on:
 *
 * - Every change of an item is a compare-and-swap on the item as it was read, so changes of a key come one after the other, and
 *   conditions are checked and written in one step. One that is carried out late, after its maker gave it up, finds another item.
 * - A change is begun with the coordinator, made, and announced. An entry carries the stamp that the counter had when its write began.
 *   Whatever changes the item later is announced later, with a higher stamp: who holds the entry in memory drops it then. And an
 *   invalidation that came before the write has a stamp that is not higher, one that comes after it a higher one.
 * - What was begun and not announced (its maker died, or had no answer) is found after some seconds by any process: it fences the key,
 *   so that nothing of the old change can still happen, and announces it. Until then others may hold the value from before the change.
 * - A load claims the item before it begins: the one that is there, or an empty one in its place. Its value is stored over exactly
 *   that item, so any change, removal, eviction or flush in between keeps it out, and no tombstone has to survive anywhere. What
 *   was evicted meanwhile costs a fill, never brings back a value that was deleted.
 * - Names begin with the coordinator's epoch. When its counter is lost or may have gone back, nothing that was stored before can be
 *   held against invalidations any more, and nothing of it is found any more.
 *
 * A value of which memcached has lost the item may still be in the memory of processes. It is as valid there as before.
 */
export class MemcachedBackend implements SharedBackend {
  readonly name = 'memcached'
  readonly format: RecordFormat
  #client: MemcachedClient
  readonly coordination: Coordination
  #now: Now
  #prefix: string
  #deadline: number
  #onFault: OnFault
  #source = randomBytes(6).toString('hex')
  #changes = 0
  #named: { epoch: string, names: ItemNames } | undefined
  /** Where the entries of the last portions of scans were found, for `discard`. */
  #found = new Map<string, Found>()
  #sequences = new Sequences()
  #turns = new Turns(AT_ONCE)
  #reads = new ReadReports((reads) => { this.#reportReads(reads).catch((error: unknown) => { if (!isAway(error)) this.#onFault(error) }) })
  #guard = new Guard({ name: this.name, away: AWAY, isOutage, isFull })
  #settling: NodeJS.Timeout | undefined
  #isSettling = false

  constructor ({ client, coordination, now, prefix = 'larder', format = new RecordFormat(), deadline = DEADLINE, onFault = warnOfFault }: MemcachedOptions) {
    this.#client = client
    this.coordination = coordination
    this.#now = now
    this.#prefix = prefix
    this.format = format
    this.#deadline = deadline
    this.#onFault = onFault
  }

  get isFollowing (): boolean { return this.coordination.isFollowing }
  get leases (): LeaseGiver | undefined { return this.coordination.leases }

  /** Of memcached, or of the coordinator when that is in the worse state. */
  get breaker (): BreakerState { return this.#guard.state === 'closed' ? this.coordination.breaker : this.#guard.state }

  async get (namespace: string, key: string): Promise<StoredEntry | undefined> {
    const [entry] = await this.getMany(namespace, [key])
    return entry
  }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    const place = await this.coordination.place()
    const entries: (StoredEntry | undefined)[] = []
    for (let from = 0; from < keys.length; from += BATCH) {
      const batch = keys.slice(from, from + BATCH)
      entries.push(...await this.#entries(namespace, batch, place))
    }
    return entries
  }

  async stamp (): Promise<number> { return (await this.coordination.stamp()).stamp }

  async claim (namespace: string, key: string, token?: string): Promise<ItemClaim | undefined> {
    const name = this.#names(await this.coordination.place()).of(namespace, key)
    const { instance } = this.#client
    if (token !== undefined) {
      const [, cas, of] = CLAIM_TOKEN.exec(token) ?? []
      return cas === undefined || of !== instance ? undefined : { token, ...this.#client.reclaim(name, cas) }
    }
    const hold = await this.#run(async () => await this.#client.claim(name, CLAIM_TIME))
    return { token: `${hold.cas}-${instance}`, ...hold }
  }

  async set (entry: StoredEntry, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#change(entry.namespace, entry.key, async (name, item, place) => {
      const present = this.#present(entry.namespace, entry.key, item, place)
      // Whether its value can be read matters only to who must not write over it.
      const isOpened = condition !== undefined && 'absent' in condition && present !== undefined
      const live = isOpened && await this.format.unpack(entry.namespace, entry.key, present.record, place.skew) === undefined ? undefined : present
      if (!permits(condition, live?.facts)) return 'precondition'
      const packed = await this.format.pack({ ...entry, stamp: place.stamp }, place.skew)
      const act = this.#stored(name, entry, packed)
      if (act === undefined) throw this.#tooLarge(packed)
      return { act, outcome: written(place.stamp, live !== undefined, packed) }
    })
  }

  async fill (entry: StoredEntry, claim?: ItemClaim): Promise<WriteOutcome> {
    if (claim === undefined) return 'superseded'
    const { skew } = await this.coordination.place()
    const packed = await this.format.pack(entry, skew)
    const stored = this.#stored(claim.name, entry, packed)
    if (stored === undefined) throw this.#tooLarge(packed)
    if (!await this.#run(async () => await this.#client.store(claim.name, stored, claim))) return 'superseded'
    await this.coordination.announce(entry.namespace, entry.key)
    return written(entry.stamp, false, packed)
  }

  async replace (entry: StoredEntry, claim?: ItemClaim): Promise<WriteOutcome> {
    return await this.#change(entry.namespace, entry.key, async (name, item, place) => {
      const isUnchanged = claim?.cas === item?.cas && claim?.connection === item?.connection && claim?.name.token === name.token
      const remove = { act: item === undefined ? 'leave' : 'remove', outcome: 'superseded' } as const
      if (!isUnchanged) return remove
      const packed = await this.format.pack(entry, place.skew)
      const act = this.#stored(name, entry, packed)
      // What the origin held before must not stay.
      if (act === undefined) return { ...remove, error: this.#tooLarge(packed) }
      return { act, outcome: written(entry.stamp, false, packed) }
    })
  }

  async delete (namespace: string, key: string, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#change(namespace, key, (_, item, place) => {
      const live = this.#present(namespace, key, item, place)
      if (!permits(condition, live?.facts)) return 'precondition'
      return { act: item === undefined ? 'leave' : 'remove', outcome: { stamp: place.stamp, existed: live !== undefined } }
    })
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number): Promise<WriteOutcome> {
    return await this.#change(namespace, key, (name, item, place) => {
      const live = this.#present(namespace, key, item, place)
      if (live?.facts.version !== version) return 'precondition'
      const record = Buffer.from(live.record)
      record.writeDoubleLE(expiresAt + place.skew, EXPIRES_AT)
      record.writeDoubleLE(goneAt + place.skew, GONE_AT)
      const act = { ...frame(name, key, record), expiry: this.#client.expiry(goneAt - this.#now()) }
      return { act, outcome: { stamp: place.stamp, existed: true } }
    })
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    // What cannot be swept could never be withdrawn again.
    if (!this.#client.canDump) throw new UnsupportedOperationError(NO_DUMP)
    return await this.coordination.invalidate(namespace, what)
  }

  async inForce (): Promise<InForce[]> { return await this.coordination.inForce() }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.coordination.withdraw(namespace, what, stamp)
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    const place = await this.coordination.place()
    const names = this.#names(place)
    const dump = await this.#run(async () => await this.#client.dump(names.beginning(namespace)), SCAN_FACTOR)
    try {
      for await (const items of dump.portions(PORTION, PORTION_BYTES)) {
        const found = await this.#scanned(items, names, place)
        if (found.length > 0) yield found
      }
    } catch (error) {
      throw isOutage(error) ? new BackendUnavailableError(AWAY) : error
    }
  }

  async counted (namespace: string, entries: readonly ScannedEntry[]): Promise<ScannedEntry[]> {
    const place = await this.coordination.place()
    const names = this.#names(place)
    const counted: ScannedEntry[] = []
    for (let from = 0; from < entries.length; from += PORTION) {
      const portion = entries.slice(from, from + PORTION)
      const reads = await this.#run(async () => await this.#client.getMany(portion.map(({ key }) => names.of(namespace, key, 'reads'))), SCAN_FACTOR)
      counted.push(...portion.map((entry, at) => withReads(entry, reads[at], place)))
    }
    return counted
  }

  async discard (namespace: string, entries: readonly Discarded[]): Promise<number> {
    let count = 0
    for (let from = 0; from < entries.length; from += BATCH) {
      let left: readonly Discarded[] = entries.slice(from, from + BATCH)
      // An item may have been written anew with the same entry in it (a lifetime, a fence) or be seen over a connection that is lost.
      for (let tries = 0; left.length > 0; tries++) {
        if (tries === TRIES) throw new BackendUnavailableError(CONTENDED)
        const found = await this.#whereabouts(namespace, left, tries === 0)
        const gone = await this.#run(async () => await Promise.all(found.map(async ({ name, seen }) => await this.#client.remove(name, seen))), SCAN_FACTOR)
        count += gone.filter((isGone) => isGone).length
        left = found.flatMap(({ entry }, at) => gone[at] === true ? [] : [entry])
      }
    }
    return count
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    this.#reads.note(namespace, key, version, reads, at)
  }

  async follow (listener: ChangeListener): Promise<void> {
    await this.coordination.follow(listener)
    this.#settling = setInterval(() => { void this.#settle() }, SETTLE_INTERVAL)
    this.#settling.unref()
  }

  async close (): Promise<void> {
    clearInterval(this.#settling)
    this.#reads.stop()
    await this.coordination.close()
  }

  /** @param decide what to do, by the item as it is: called again whenever another change came before */
  async #change (namespace: string, key: string, decide: Decide): Promise<WriteOutcome> {
    return await this.#sequences.take(nameOf(namespace, key), async () => await this.#turns.take(async () => await this.#changeOnce(namespace, key, decide)), isAway)
  }

  async #changeOnce (namespace: string, key: string, decide: Decide): Promise<WriteOutcome> {
    const change = { id: `${this.#source}:${this.#changes++}`, namespace, key }
    const before = await this.coordination.place()
    const reading = this.#item(this.#names(before).of(namespace, key))
    reading.catch(() => {}) // it is waited for below
    const place = await this.coordination.begin(change)
    const name = this.#names(place).of(namespace, key)
    let mayBeMade = false
    try {
      const until = performance.now() + TRYING_TIME
      let item = place.epoch === before.epoch ? await reading : await this.#item(name)
      for (let tries = 0; tries < TRIES && performance.now() < until; tries++) {
        const plan = await decide(name, item, place)
        if (plan === 'precondition') {
          this.#cancel(change)
          return plan
        }
        mayBeMade = plan.act !== 'leave'
        if (await this.#act(name, item, plan.act)) {
          await this.coordination.announce(namespace, key, change.id)
          if (plan.error !== undefined) throw plan.error
          return plan.outcome
        }
        mayBeMade = false
        item = await this.#item(name)
      }
      throw new BackendUnavailableError(CONTENDED)
    } catch (error) {
      // Otherwise it stays begun, and is settled later.
      if (!mayBeMade) this.#cancel(change)
      throw error
    }
  }

  /** Whether the item was still the one that was read. */
  async #act (name: ItemName, item: Item | undefined, act: Plan['act']): Promise<boolean> {
    if (act === 'leave') return true
    if (act === 'remove') return item === undefined || await this.#run(async () => await this.#client.remove(name, item))
    return await this.#run(async () => await this.#client.store(name, act, item))
  }

  #cancel ({ id }: BegunChange): void {
    // If it cannot be told, it is settled like one that may have been made.
    this.coordination.cancel(id).catch(() => {})
  }

  /** Ends what was begun and never announced, here or in a process that is gone. */
  async #settle (): Promise<void> {
    if (this.#isSettling || !this.isFollowing) return
    this.#isSettling = true
    try {
      for (const change of await this.coordination.abandoned(ABANDONED_AFTER)) {
        await this.#sequences.take(nameOf(change.namespace, change.key), async () => {
          await this.#fence(change)
          await this.coordination.announceForeign(change)
        }, isAway)
      }
    } catch (error) {
      // What is left is tried again.
      if (!isAway(error)) this.#onFault(error)
    } finally {
      this.#isSettling = false
    }
  }

  /** Gives the item another CAS value, so that no change on its way to the server can still be made. Its content stays. */
  async #fence ({ namespace, key }: BegunChange): Promise<void> {
    const name = this.#names(await this.coordination.place()).of(namespace, key)
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.#run(async () => await this.#client.get(name, { ttl: true }))
      const { value = Buffer.alloc(0), flags = 0, ttl = CLAIM_TIME } = item ?? {}
      if (await this.#act(name, item, { value, flags, expiry: this.#client.expiry(ttl * 1000) })) return
    }
  }

  async #entries (namespace: string, keys: readonly string[], place: Place): Promise<(StoredEntry | undefined)[]> {
    const names = this.#names(place)
    const items = await this.#run(async () => await this.#client.getMany(
      [...keys.map((key) => names.of(namespace, key)), ...keys.map((key) => names.of(namespace, key, 'reads'))]))
    return await Promise.all(keys.map(async (key, at) => {
      const live = this.#live(namespace, key, items[at], place)
      const entry = live === undefined ? undefined : await this.format.unpack(namespace, key, live.record, place.skew)
      return entry === undefined ? undefined : this.#reads.applied(withReads(entry, items[keys.length + at], place))
    }))
  }

  async #scanned (items: DumpedItem[], names: ItemNames, place: Place): Promise<ScannedEntry[]> {
    const parsed = items.flatMap(({ token }) => names.parse(token) ?? [])
    const records = await this.#run(async () => await this.#client.getMany(parsed.map(({ name }) => name)), SCAN_FACTOR)
    const found = parsed.flatMap(({ namespace, key, name }, at) => {
      const item = records[at]
      const stored = item === undefined ? undefined : unframe(item)
      const itsKey = key ?? stored?.key
      if (item === undefined || stored === undefined || itsKey === undefined) return []
      const live = this.#live(namespace, itsKey, item, place)
      return live === undefined ? [] : [{ ...live, name, seen: { cas: item.cas, connection: item.connection } }]
    })
    return found.map(({ facts, record, name, seen }) => {
      this.#remember(facts, { version: facts.version, name, seen })
      return { ...facts, valueLength: record.length - (prefixLength(record) as number) }
    })
  }

  #remember ({ namespace, key }: Facts, found: Found): void {
    const name = nameOf(namespace, key)
    this.#found.delete(name)
    this.#found.set(name, found)
    if (this.#found.size <= REMEMBERED) return
    const [oldest] = this.#found.keys()
    this.#found.delete(oldest as string)
  }

  /** The items of those of the entries that are still there; `known` takes those of the last scans for it. */
  async #whereabouts (namespace: string, entries: readonly Discarded[], known: boolean): Promise<(Found & { entry: Discarded })[]> {
    const remembered: (Found & { entry: Discarded })[] = []
    const others: Discarded[] = []
    for (const entry of entries) {
      const found = known ? this.#found.get(nameOf(namespace, entry.key)) : undefined
      if (found?.version === entry.version) remembered.push({ ...found, entry })
      else others.push(entry)
    }
    const place = await this.coordination.place()
    const names = others.map(({ key }) => this.#names(place).of(namespace, key))
    const items = await this.#run(async () => await this.#client.getMany(names), SCAN_FACTOR)
    const read = others.flatMap((entry, at) => {
      const item = items[at]
      const isThere = item !== undefined && this.#live(namespace, entry.key, item, place)?.facts.version === entry.version
      return isThere ? [{ version: entry.version, name: names[at] as ItemName, seen: item, entry }] : []
    })
    return [...remembered, ...read]
  }

  async #reportReads (waiting: Reads[]): Promise<void> {
    const place = await this.coordination.place()
    const names = this.#names(place)
    for (let from = 0; from < waiting.length; from += BATCH) {
      const batch = waiting.slice(from, from + BATCH)
      const [records, counts] = await this.#run(async () => await Promise.all([
        // This also tells the server that they are in use.
        this.#client.getMany(batch.map(({ namespace, key }) => names.of(namespace, key)), { values: false, ttl: true }),
        this.#client.getMany(batch.map(({ namespace, key }) => names.of(namespace, key, 'reads')))
      ]))
      await this.#run(async () => await Promise.all(batch.map(async ({ namespace, key, version, reads, at }, index) => {
        const ttl = records[index]?.ttl
        if (ttl === undefined) return
        const counted = unpackReads(counts[index])
        const sum = (counted?.version === version ? counted.reads : 0) + reads
        const value = packReads({ version, reads: sum, at: at + place.skew })
        // When another process counts at the same moment, one of the two is lost: these are only statistics.
        await this.#client.store(names.of(namespace, key, 'reads'), { value, expiry: this.#client.expiry(ttl * 1000) }, counts[index])
      })))
    }
  }

  async #item (name: ItemName): Promise<Item | undefined> { return await this.#run(async () => await this.#client.get(name)) }

  #live (namespace: string, key: string, item: Item | undefined, { skew }: Place): Live | undefined {
    const stored = item === undefined ? undefined : unframe(item)
    if (stored === undefined || (stored.key !== undefined && stored.key !== key)) return undefined
    const { record } = stored
    const facts = this.format.facts(namespace, key, record.subarray(0, prefixLength(record)), skew)
    // The server counts whole seconds.
    return facts === undefined || facts.goneAt <= this.#now() ? undefined : { facts, record }
  }

  /** The same for one who wants to change it: what cannot be read is as good as absent. */
  #present (namespace: string, key: string, item: Item | undefined, place: Place): Live | undefined {
    const live = this.#live(namespace, key, item, place)
    return live?.facts.isUnreadable === true ? undefined : live
  }

  /** Undefined when it is more than the server takes. */
  #stored (name: ItemName, { key, goneAt }: StoredEntry, { record }: PackedRecord): Stored | undefined {
    const framed = frame(name, key, record)
    return this.#client.fits(name, framed.value.length) ? { ...framed, expiry: this.#client.expiry(goneAt - this.#now()) } : undefined
  }

  #tooLarge ({ size }: PackedRecord): Error { return new ItemTooLargeError(size, this.#client.itemSize) }

  #names ({ epoch }: Place): ItemNames {
    if (this.#named?.epoch !== epoch) this.#named = { epoch, names: new ItemNames(this.#prefix, Number(epoch).toString(36)) }
    return this.#named.names
  }

  async #run<T> (operation: () => Promise<T>, factor = 1): Promise<T> {
    try {
      return await this.#guard.run(operation, factor * this.#deadline)
    } catch (error) {
      // Larger than the server said that it takes.
      throw isTooLarge(error) ? new ItemTooLargeError(this.#client.itemSize, this.#client.itemSize) : error
    }
  }
}

const CONTENDED = 'Too many others change this key at the same time: try again in a moment.'
const AWAY = 'memcached does not answer: try again in a moment; if it stays so, check MEMCACHED_URL and the server.'

const written = (stamp: number, existed: boolean, { storedLength }: PackedRecord): WriteOutcome =>
  ({ stamp, existed, ...storedLength === undefined ? undefined : { storedLength } })

function permits (condition: WriteCondition | undefined, present: Facts | undefined): boolean {
  if (condition === undefined) return true
  if ('absent' in condition) return present === undefined || present.version === condition.absentOr
  return present?.version === condition.version
}

/** With the reads that are counted apart. */
function withReads<F extends Facts> (facts: F, item: Item | undefined, { skew }: Place): F {
  const counted = unpackReads(item)
  if (counted?.version !== facts.version) return facts
  return { ...facts, accessCount: facts.accessCount + counted.reads, accessedAt: Math.max(facts.accessedAt, counted.at - skew) }
}
