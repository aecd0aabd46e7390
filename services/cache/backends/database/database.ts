import { randomBytes } from 'node:crypto'
import { type Caller, throwIfGone } from '../../caller.js'
import type { Now } from '../../clock.js'
import { DeadlineError, withDeadline } from '../../deadline.js'
import { goneBy, type StoredEntry } from '../../entry.js'
import { BackendFullError, EntryTooLargeError } from '../../errors.js'
import { isOutage as isAway, type OnFault, warnOfFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import type { Invalidation } from '../../ledger.js'
import type { LeaseGiver, LeaseKeeper, Order } from '../../leases.js'
import type { Limits } from '../../limits.js'
import { checkQuotas, unreserved } from '../../quotas.js'
import { type Facts, RecordFormat } from '../../record-format.js'
import type { BreakerState, BreakerSwitch } from '../../breaker.js'
import { CountersByNamespace } from '../../statistics.js'
import type { QueueState } from '../../turns.js'
import type { ChangeListener, Drawn, InForce, ScannedEntry, SharedBackend, Usage, WriteCondition, WriteOutcome } from '../backend.js'
import { checkStrategy } from '../capabilities.js'
import { type Announcement, Follower, type Pulse } from '../follower.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { ReadReports, type Reads } from '../reads.js'
import { Settlement } from '../settlement.js'
import { Patience } from '../patience.js'
import { Sequences } from '../../sequences.js'
import type { Connections, Queries } from './connections.js'
import { DatabaseLeases } from './leases.js'
import { Notifications } from './notifications.js'
import {
  READS, TEXTS, type EntryRow, type OutcomeRow, type PulseRow, type SampledRow, type ScannedRow, type ValueRow, type WriteRow
} from './statements.js'
import { columnOf, DEADLINE, keyIn, Tables } from './tables.js'

/** How long a deletion is remembered, in milliseconds: longer than any load may take. */
const TOMBSTONE_LIFETIME = 120_000
/** A sample is drawn from more entries than that, by reading the pages that hold about so many: those of a page were often written together. */
const SCANNED = 50_000
const DRAWN = 25_000
/** How long a beat may take, in milliseconds: with the interval between two it has to stay within the second that a lost bus may go unnoticed. */
const PULSE_DEADLINE = 300
/** For so many milliseconds a write waits until the reads before it are reported. */
const READS_WAIT = 200
/** A difference between two measurements of a clock, in milliseconds, that only a clock that was set explains. */
const CLOCKS_SET = 100
/** Milliseconds between two uses of the same moment: as little as a time of today still tells apart. */
const USE_STEP = 2 ** -11
/** Rows that one statement of a sweep removes: see the migration. */
const SWEPT = 1000
/** How often an only process looks at the database's clock, in milliseconds. */
const CLOCK_INTERVAL = 5000
/** Of a notification, in bytes. */
const LONGEST_MESSAGE = 7900
const AWAY = 'The database does not answer: try again in a moment; if it stays so, check DATABASE_URL and the server.'

type QuotaLimits = Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>

export interface DatabaseOptions {
  connections: Connections
  /** Tells this cache's rows from those of others: small letters and digits. */
  cache: string
  now: Now
  limits: QuotaLimits
  /** Default: JSON text as it is. */
  format?: RecordFormat
  /** Where the leases of all processes are kept. Default: each process has its own. */
  leases?: LeaseKeeper | undefined
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

/**
 * Entries in PostgreSQL, in tables that a crash of the server empties. Every operation is one statement, which is its own
 * transaction; the functions behind it stand in the migration. The limits hold over all processes together; `lru` and `lfu`
 * go by reads that are reported before each write, and those of other processes four times a second.
 */
export class DatabaseBackend implements SharedBackend {
  readonly name = 'database'
  readonly format: RecordFormat
  readonly leases?: LeaseGiver
  #connections: Connections
  #cache: string
  #tables: Tables<keyof typeof TEXTS>
  #onFault: OnFault
  #now: Now
  #limits: QuotaLimits
  #settlement = new Settlement(async () => { await this.#settle() })
  #epoch: string | undefined
  #source: string | null
  #notifications: Notifications | undefined
  #follower: Follower | undefined
  #listener: ChangeListener | undefined
  /** Milliseconds that the database's clock is ahead of ours; known from the first pulse on. */
  #skew = 0
  /** The same for times of use, which have to keep their order: follows only where clocks were set. */
  #useSkew: number | undefined
  /** Of this process, by our clock. */
  #lastUse = 0
  #firstPulse: Promise<unknown> | undefined
  #clock: NodeJS.Timeout | undefined
  #reads = new ReadReports(async (reads) => { await this.#reportReads(reads) })
  #sequences = new Sequences()
  #patience: Patience
  #evictions = new CountersByNamespace(() => ({ evictions: 0 }))

  constructor ({ connections, cache, now, limits, format = new RecordFormat(), leases, onFault = warnOfFault }: DatabaseOptions) {
    this.#connections = connections
    this.#cache = cache
    this.#now = now
    this.#limits = { ...limits }
    this.format = format
    this.#source = connections.connect === undefined ? null : newSource()
    this.#tables = new Tables({ connections, prefix: 'larder_cache', texts: TEXTS, reads: READS, owner: cache, name: this.name, away: AWAY })
    this.#patience = new Patience({ name: this.name, away: AWAY, deadline: DEADLINE, answeredAt: () => this.#tables.answeredAt })
    this.#onFault = onFault
    // An only process has nobody to share them with.
    if (leases === undefined || this.#source === null) return
    this.leases = new DatabaseLeases({
      keeper: leases,
      order: async (namespace, key) => await this.#orderOf(namespace, key),
      tell: async (namespace, key) => { await this.#tellReleased(namespace, key) }
    })
  }

  /** An only process has nothing to miss. */
  get isFollowing (): boolean { return this.#connections.connect === undefined ? this.#listener !== undefined : this.#follower?.isFollowing ?? false }

  get breaker (): BreakerState { return this.#tables.breaker }
  get switch (): BreakerSwitch { return this.#tables.switch }
  get queues (): QueueState[] { return [this.#tables.queue, this.#patience] }

  async get (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined> {
    await this.#knowClock()
    const [row] = await this.#tables.askFor<ValueRow>(caller, 'get', namespace, columnOf(key))
    return row === undefined ? undefined : await this.#entry(row)
  }

  async getMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<(StoredEntry | undefined)[]> {
    if (keys.length === 0) return []
    await this.#knowClock()
    const rows = await this.#tables.askFor<ValueRow>(caller, 'getMany', namespace, [...new Set(keys.map(columnOf))])
    const found = new Map(rows.map((row) => [row.key, row]))
    return await Promise.all(keys.map(async (key) => {
      const row = found.get(columnOf(key))
      return row === undefined ? undefined : await this.#entry(row)
    }))
  }

  async stamp (): Promise<number> { return (await this.#pulse()).stamp }

  async set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    const outcome = await this.#store(entry, 'set', condition, caller)
    if (outcome !== 'precondition' || condition === undefined || !('absent' in condition)) return outcome
    // What cannot be read is absent to callers, and the statement cannot tell.
    throwIfGone(caller)
    const [row] = await this.#tables.askFor<ValueRow>(caller, 'get', entry.namespace, columnOf(entry.key))
    if (row === undefined || await this.#entry(row) !== undefined) return outcome
    throwIfGone(caller)
    return await this.#store(entry, 'set', { absent: true, absentOr: row.version }, caller)
  }

  async fill (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'fill') }
  async replace (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'replace') }

  async delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, async () => await this.#delete(namespace, key, condition, caller), caller)
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number, caller?: Caller): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, async () => {
      await this.#knowClock()
      return outcome(await this.#changeFor<OutcomeRow>(caller, 'expire', namespace, columnOf(key), version, expiresAt + this.#skew, goneBy(goneAt, this.#skew)))
    }, caller)
  }

  async invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<number> {
    return (await this.#changeFor<{ stamp: number }>(caller, 'invalidate', namespace, JSON.stringify(what), fieldsOf(namespace, what))).stamp
  }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#tables.ask('withdraw', fieldsOf(namespace, what), stamp)
  }

  async inForce (): Promise<InForce[]> {
    const rows = await this.#tables.ask<{ what: string, stamp: number }>('inForce')
    return rows.flatMap(({ what, stamp }) => invalidationOf(what, stamp) ?? [])
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    await this.#knowClock()
    for await (const rows of this.#tables.pages<ScannedRow>(namespace)) yield rows.flatMap((row) => this.#facts(row) ?? [])
  }

  async sample (namespace: string | undefined, most: number): Promise<Drawn | undefined> {
    await this.#knowClock()
    const [totals] = await this.#tables.ask<Usage>('totals')
    if (totals === undefined || totals.items <= SCANNED) return undefined
    let percent = Math.min(100, 100 * DRAWN / totals.items)
    for (;;) {
      const rows = await this.#tables.ask<SampledRow>('sample', percent, namespace ?? null)
      const entries = rows.flatMap((row) => this.#facts(row) ?? [])
      if (namespace === undefined) return { entries, ...totals }
      const items = Math.round(rows.length * 100 / percent)
      // A small one is gone through more cheaply than it is found.
      if (items <= SCANNED) return undefined
      if (rows.length >= most || percent === 100) return { entries, items, bytes: Math.round(rows.reduce((sum, { size }) => sum + size, 0) * 100 / percent) }
      percent = Math.min(100, 1.2 * percent * most / rows.length)
    }
  }

  async standing (): Promise<Usage | undefined> { return (await this.#tables.ask<Usage>('totals'))[0] }

  async discard (namespace: string, entries: readonly ScannedEntry[]): Promise<number> {
    if (entries.length === 0) return 0
    const [row] = await this.#tables.ask<{ count: number }>('discard', namespace, entries.map(({ key }) => columnOf(key)), entries.map(({ version }) => version))
    return row?.count ?? 0
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    this.#reads.note(namespace, key, version, reads, this.#used(at))
  }

  evictions (namespace?: string): number { return this.#evictions.read(namespace).evictions }

  /** @throws UnsupportedOperationError for quotas that are more than there is; nothing changes then */
  configure ({ maxItems, maxMemory, quotas }: QuotaLimits): void {
    const limits = { maxItems, maxMemory, ...quotas === undefined ? {} : { quotas } }
    checkQuotas(limits)
    this.#limits = limits
    this.#settlement.begin()
  }

  async settled (): Promise<void> { await this.#settlement.settled() }

  async sweep (): Promise<void> {
    for (;;) {
      const [row] = await this.#tables.ask<{ count: number }>('sweep')
      if (row === undefined || row.count < SWEPT) break
    }
    await this.#settle()
  }

  async follow (listener: ChangeListener): Promise<void> {
    const { connect } = this.#connections
    if (connect === undefined) {
      const { stamp } = await this.#pulse()
      listener.onResync(await this.inForce(), stamp)
      this.#listener = listener
      // A look that fails leaves the clock as it was known.
      this.#clock = setInterval(() => { this.#pulse().catch((error: unknown) => { this.#note(error) }) }, CLOCK_INTERVAL)
      this.#clock.unref()
      return
    }
    this.#listener = listener
    const notifications = new Notifications(connect, `larder_cache_${this.#cache}`)
    this.#notifications = notifications
    this.#follower = new Follower({
      subscription: notifications,
      isOwn: (source) => source === this.#source,
      listener,
      pulse: async () => await withDeadline(this.#pulse(notifications), PULSE_DEADLINE),
      inForce: async () => await this.inForce()
    })
    await this.#follower.beat()
  }

  async close (): Promise<void> {
    this.#follower?.stop()
    clearInterval(this.#clock)
    this.#settlement.close()
    this.#reads.stop()
    this.#notifications?.close()
  }

  /** Changes of one key come in the order in which they were asked for, whichever connections they run on. */
  async #inOrder (namespace: string, key: string, change: () => Promise<WriteOutcome>, caller?: Caller): Promise<WriteOutcome> {
    return await this.#patience.take(change, async (begin) => await this.#sequences.take(nameOf(namespace, key), begin, isAway), caller)
  }

  async #delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    return outcome(await this.#changeFor<OutcomeRow>(caller, 'delete', namespace, columnOf(key), ...conditionValues(condition), TOMBSTONE_LIFETIME))
  }

  async #store (entry: StoredEntry, mode: WriteMode, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    return await this.#inOrder(entry.namespace, entry.key, async () => await this.#write(entry, mode, condition, caller), caller)
  }

  async #write (entry: StoredEntry, mode: WriteMode, condition: WriteCondition | undefined, caller: Caller | undefined): Promise<WriteOutcome> {
    const { namespace, key, strategy } = entry
    const { maxItems, maxMemory } = this.#limits
    checkStrategy(strategy, this.name)
    await this.#knowClock()
    const skew = this.#skew
    const { record, headLength, storedLength, size } = await this.format.pack(entry, skew)
    const refuse = async (refusal: Error): Promise<never> => {
      // What the origin held before must not stay either.
      if (mode === 'replace') await this.#delete(namespace, key)
      throw refusal
    }
    const { maxMemory: most } = this.#limits.quotas?.get(namespace) ?? unreserved(this.#limits)
    if (size > most) return await refuse(new EntryTooLargeError(size, most))
    await this.#readsReported()
    const row = await this.#changeFor<WriteRow>(caller, 'write', mode, entry.stamp, ...conditionValues(condition), maxItems, maxMemory, TOMBSTONE_LIFETIME,
      namespace, columnOf(key), entry.version, entry.expiresAt + skew, goneBy(entry.goneAt, skew), this.#used(entry.accessedAt) + (this.#useSkew ?? skew), entry.accessCount, size, strategy,
      record.subarray(0, headLength), record.subarray(headLength))
    if (row.stamp === TOO_LARGE) return await refuse(new EntryTooLargeError(size, Number(row.evicted[0])))
    if (row.stamp === ALL_RESERVED) return await refuse(new BackendFullError(this.name))
    this.#drop(row.evicted)
    return outcome(row, storedLength)
  }

  /** What was evicted leaves this process's memory as well; the others hear of it. */
  #drop (evicted: readonly string[]): void {
    for (const text of evicted) {
      const [namespace, key, stamp] = JSON.parse(text) as [string, string, number]
      this.#evictions.of(namespace).evictions++
      this.#listener?.onChange({ kind: 'key', namespace, key, stamp })
    }
  }

  /** What the quotas and limits say, by portions. */
  async #settle (): Promise<void> {
    const quotas = [...this.#limits.quotas ?? []]
    await this.#tables.ask('quotas', quotas.map(([namespace]) => namespace), quotas.map(([, { maxItems }]) => maxItems), quotas.map(([, { maxMemory }]) => maxMemory))
    for (;;) {
      const { more, evicted } = await this.#change<{ more: boolean, evicted: string[] }>('place')
      this.#drop(evicted)
      if (!more) break
    }
    for (;;) {
      const { evicted } = await this.#change<{ evicted: string[] }>('shrink', this.#limits.maxItems, this.#limits.maxMemory)
      if (evicted.length === 0) return
      this.#drop(evicted)
    }
  }

  async #orderOf (namespace: string, key: string): Promise<Order> {
    const [row] = await this.#tables.ask<Order>('order', namespace, columnOf(key))
    return row as Order
  }

  async #tellReleased (namespace: string, key: string): Promise<void> {
    const message = JSON.stringify({ v: 1, s: this.#source ?? '', n: namespace, r: key } satisfies Announcement)
    // PostgreSQL takes no longer ones. Who waits does so until the lease is over then.
    if (Buffer.byteLength(message) < LONGEST_MESSAGE) await this.#tables.ask('tell', `0 ${message}`)
  }

  /** Our clock tells whole milliseconds, and several entries may be used in one: then the order in which they were decides. */
  #used (at: number): number {
    if (at < Math.floor(this.#lastUse)) return at
    this.#lastUse = Math.max(at, this.#lastUse + USE_STEP)
    return this.#lastUse
  }

  /** A database that hangs is for the write itself to find out. */
  async #readsReported (): Promise<void> {
    const reporting = this.#reads.hurry()
    if (reporting === undefined) return
    await withDeadline(reporting, READS_WAIT).catch((error: unknown) => {
      if (!(error instanceof DeadlineError)) throw error
    })
  }

  async #reportReads (waiting: Reads[]): Promise<void> {
    const column = <V>(of: (reads: Reads) => V): V[] => waiting.map(of)
    await this.#tables.ask('noteReads', column(({ namespace }) => namespace), column(({ key }) => columnOf(key)), column(({ version }) => version),
      column(({ reads }) => reads), column(({ at }) => at + (this.#useSkew ?? this.#skew))).catch((error: unknown) => { this.#note(error) })
  }

  /** Work that nobody waits for has failed. That the database is away is said to whoever needs it. */
  #note (error: unknown): void { if (!isAway(error)) this.#onFault(error) }

  /** Over the pool, or over the connection that it is to prove. */
  async #pulse (over?: Queries): Promise<Pulse> {
    const asked = this.#now()
    const [row] = over === undefined ? await this.#tables.ask<PulseRow>('pulse') : await this.#tables.over<PulseRow>(over, 'pulse')
    const { stamp, epoch, time } = row as PulseRow
    // The answer was made about half way between question and answer.
    this.#skew = time - (asked + this.#now()) / 2
    if (this.#useSkew === undefined || Math.abs(this.#skew - this.#useSkew) > CLOCKS_SET) this.#useSkew = this.#skew
    // A server that crashed has lost the quotas with the entries.
    if (this.#epoch !== undefined && this.#epoch !== epoch && (this.#limits.quotas?.size ?? 0) > 0) this.#settlement.begin()
    this.#epoch = epoch
    this.#firstPulse ??= Promise.resolve()
    return { stamp, epoch, skew: this.#skew }
  }

  /** Whoever deals in times has to know the database's clock first. */
  async #knowClock (): Promise<void> {
    if (this.#firstPulse === undefined) {
      const first = this.#pulse()
      this.#firstPulse = first
      first.catch(() => { this.#firstPulse = undefined })
    }
    await this.#firstPulse
  }

  /** A statement that is announced. One whose answer did not come may be carried out later: then its announcement has to be heard here too. */
  async #change<Row> (name: keyof typeof TEXTS, ...values: unknown[]): Promise<Row> { return await this.#changeFor<Row>(undefined, name, ...values) }

  async #changeFor<Row> (caller: Caller | undefined, name: keyof typeof TEXTS, ...values: unknown[]): Promise<Row> {
    try {
      const [row] = await this.#tables.askFor<Row>(caller, name, this.#source, ...values)
      return row as Row
    } catch (error) {
      if (this.#source !== null && isAway(error)) this.#source = newSource()
      throw error
    }
  }

  async #entry (row: ValueRow): Promise<StoredEntry | undefined> {
    const entry = await this.format.unpack(row.namespace, keyIn(row.key), row.head, this.#skew, row.value)
    return entry === undefined ? undefined : this.#reads.applied(this.#current(entry, row))
  }

  #facts (row: ScannedRow): ScannedEntry | undefined {
    const facts = this.format.facts(row.namespace, keyIn(row.key), row.head, this.#skew)
    return facts === undefined ? undefined : { ...this.#current(facts, row), valueLength: row.length }
  }

  /** The header has the facts that never change; the columns have those that do. */
  #current<F extends Facts> (facts: F, { version, stamp, expires, gone, accessed, reads }: EntryRow): F {
    const skew = this.#skew
    return { ...facts, version, stamp, expiresAt: expires - skew, goneAt: goneBy(gone, -skew), accessedAt: accessed - (this.#useSkew ?? skew), accessCount: reads }
  }
}

const newSource = (): string => randomBytes(6).toString('hex')

/** Stamps of writes that the pool of the namespace has no room for. */
const TOO_LARGE = -3
const ALL_RESERVED = -4

type WriteMode = 'set' | 'fill' | 'replace'

function outcome ({ stamp, existed }: OutcomeRow, storedLength?: number): WriteOutcome {
  if (stamp === -1) return 'superseded'
  if (stamp === -2) return 'precondition'
  return { stamp, existed, ...storedLength === undefined ? undefined : { storedLength } }
}

function conditionValues (condition: WriteCondition | undefined): [kind: string, version: number] {
  if (condition === undefined) return ['', NaN]
  return 'absent' in condition ? ['absent', condition.absentOr ?? NaN] : ['version', condition.version]
}
