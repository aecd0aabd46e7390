import type { Cluster, Redis } from 'ioredis'
import { randomBytes } from 'node:crypto'
import { type Caller, throwIfGone } from '../../caller.js'
import type { Now } from '../../clock.js'
import { goneBy, type StoredEntry } from '../../entry.js'
import { BackendFullError, EntryTooLargeError } from '../../errors.js'
import { nameOf } from '../../in-flight.js'
import type { Invalidation } from '../../ledger.js'
import type { Limits } from '../../limits.js'
import { checkQuotas } from '../../quotas.js'
import { packTombstone, versionIn } from '../../record.js'
import { type PackedRecord, RecordFormat } from '../../record-format.js'
import type { BreakerState, BreakerSwitch } from '../../breaker.js'
import { ONCE, IDEMPOTENT, type Repeatable } from '../../resilience.js'
import type { Retry } from '../../retry.js'
import { CountersByNamespace } from '../../statistics.js'
import { type QueueState, Turns } from '../../turns.js'
import type { ChangeListener, InForce, ScannedEntry, SharedBackend, Usage, WriteCondition, WriteOutcome } from '../backend.js'
import { checkStrategy } from '../capabilities.js'
import type { Announcement, Pulse } from '../follower.js'
import { Guard } from '../guard.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { ReadReports, type Reads } from '../reads.js'
import { type Sending, SendingOrder } from '../sending-order.js'
import { ChannelFollower } from './channel-follower.js'
import { EntryScan } from './entry-scan.js'
import { isFull, isOutage, passing } from './faults.js'
import { IndexKeeper, indexStrategy, VICTIMS } from './index-keeper.js'
import { Keyspace } from './keyspace.js'
import { RedisLeases } from './leases.js'
import { type Scripted, scripts } from './scripts.js'

/** How long a deletion is remembered, in milliseconds: longer than any load may take. */
const TOMBSTONE_LIFETIME = 120_000
/** How long an operation may take, and how many times as long a step of a pass over everything, in milliseconds. */
const DEADLINE = 200
const SCAN_FACTOR = 5
/** Milliseconds for which an answer says that Redis is there: a pass goes on within them. */
const A_MOMENT = 10
/** Consecutive outages after which Redis is left alone. */
const BREAK_AFTER = 5

/** Commands on their way at once. What waits here has not begun, though its deadline has: a thousand scripts in one pipeline would be answered together, and late. */
const AT_ONCE = 100
/** Reads among them: thousands that are reported together would have every request wait behind them. */
const REPORTED_AT_ONCE = 50

export interface RedisOptions {
  /**
   * For commands: without an offline queue, with `maxRetriesPerRequest: 0`, so that those on their way fail with their connection, and with a `commandTimeout` of
   * some seconds, behind the shorter one here. Not closed here.
   */
  client: Redis | Cluster
  /** Before every key and channel, `larder:app` for instance; for a cluster with a hash tag in it, `{larder:app}`. */
  prefix: string
  now: Now
  /** Default: JSON text as it is. */
  format?: RecordFormat
  /** Milliseconds that an operation may take. Default 200. A step of a pass over everything may take five times as long. */
  deadline?: number
  /** Consecutive outages after which Redis is left alone for a second. Default 5. */
  breakAfter?: number
  /** Tries again, within the deadline, what failed for a passing reason. Default: nothing is tried again. */
  retry?: Retry | undefined
}

/**
 * Entries in Redis, as one string each (see `record.ts`) that expires by Redis' own means; several processes share them.
 * Only plain commands and small scripts; never KEYS, never FLUSHALL. How much there may be is the server's business, until limits are
 * set: then an index beside the entries (see `INDEX`) keeps them, over all processes together, and evicts by the entries' strategies.
 */
export class RedisBackend implements SharedBackend {
  readonly name = 'redis'
  readonly leases: RedisLeases
  readonly format: RecordFormat
  #client: Redis & Scripted
  #keys: Keyspace
  #now: Now
  #order = new SendingOrder()
  /** How many invalidations this process has asked for. */
  #invalidations = 0
  #source = randomBytes(6).toString('hex')
  #following: ChannelFollower
  #listener: ChangeListener | undefined
  /** Milliseconds that Redis' clock is ahead of ours; known from the first pulse on. */
  #skew = 0
  /** Whatever has a lower stamp is void: see `COMMON`. And up to where that has been cleared away. */
  #floor = 0
  #cleared = 0
  #firstPulse: Promise<unknown> | undefined
  #reads = new ReadReports(async (reads, isHurried) => { await this.#reportReads(reads, isHurried ? reads.length : REPORTED_AT_ONCE) })
  #guard: Guard
  #turns = new Turns(AT_ONCE)
  #deadline: number
  #scan: EntryScan
  #index: IndexKeeper
  #evictions = new CountersByNamespace(() => ({ evictions: 0 }))

  constructor ({ client, prefix, now, format = new RecordFormat(), deadline = DEADLINE, breakAfter = BREAK_AFTER, retry }: RedisOptions) {
    for (const [name, script] of Object.entries(scripts)) if (!(name in client)) client.defineCommand(name, script)
    // A cluster's client has the same commands.
    this.#client = client as Redis & Scripted
    this.#keys = new Keyspace(prefix)
    this.#following = new ChannelFollower(client, this.#keys.channel)
    this.#now = now
    this.format = format
    this.#deadline = deadline
    this.#guard = new Guard({
      name: this.name,
      away: AWAY,
      breakAfter,
      isOutage,
      isFull,
      retry,
      passing,
      isConnected: () => client.status === 'ready',
      turns: this.#turns
    })
    const steps = { client: this.#client, keys: this.#keys, run: async <T>(command: () => Promise<T>) => await this.#step(command) }
    const reads = { ...steps, run: async <T>(command: () => Promise<T>) => await this.#step(command, IDEMPOTENT) }
    this.#scan = new EntryScan({ ...reads, facts: (namespace, key, head) => this.format.facts(namespace, key, head, this.#skew) })
    this.#index = new IndexKeeper({ ...steps, scan: this.#scan, source: this.#source, onEvicted: (gone) => { this.#drop(gone) } })
    this.leases = new RedisLeases({
      client: this.#client,
      names: {
        counter: this.#keys.counter,
        channel: this.#keys.channel,
        entry: (namespace, key) => this.#keys.entry(namespace, key),
        lease: (namespace, key) => this.#keys.lease(namespace, key)
      },
      // Who has a lease, is told by its answer: one that was given unheard would be waited for.
      run: async (command) => await this.#run(command, ONCE),
      stamp: async () => await this.stamp(),
      released: (namespace, key) => `0 ${this.#announcement({ n: namespace, r: key })}`
    })
  }

  get isFollowing (): boolean { return this.#following.isFollowing }

  /** `closed` is the good state; `open` leaves Redis alone for a second. */
  get breaker (): BreakerState { return this.#guard.state }
  get switch (): BreakerSwitch { return this.#guard.switch }
  get queues (): QueueState[] { return [this.#turns] }

  async get (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined> {
    const record = await this.#timed(() => this.#client.getBuffer(this.#keys.entry(namespace, key)), IDEMPOTENT, caller)
    return record === null ? undefined : await this.#unpack(namespace, key, record)
  }

  async getMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<(StoredEntry | undefined)[]> {
    if (keys.length === 0) return []
    const records = await this.#timed(() => this.#client.mgetBuffer(keys.map((key) => this.#keys.entry(namespace, key))), IDEMPOTENT, caller)
    return await Promise.all(records.map(async (record, at) => record === null ? undefined : await this.#unpack(namespace, keys[at] as string, record)))
  }

  async stamp (): Promise<number> {
    const last = await this.#run(() => this.#client.hget(this.#keys.counter, 'n'), IDEMPOTENT)
    return last === null ? (await this.#pulse(0, IDEMPOTENT)).stamp : Number(last)
  }

  async set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    const outcome = await this.#write(entry, 'set', condition, caller)
    if (outcome !== 'precondition' || condition === undefined || !('absent' in condition)) return outcome
    throwIfGone(caller)
    const version = await this.#unreadable(entry.namespace, entry.key)
    throwIfGone(caller)
    return version === undefined ? outcome : await this.#write(entry, 'set', { absent: true, absentOr: version }, caller)
  }

  async fill (entry: StoredEntry): Promise<WriteOutcome> { return await this.#write(entry, 'fill') }
  async replace (entry: StoredEntry): Promise<WriteOutcome> { return await this.#write(entry, 'replace') }

  async delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    // Timed like a write, so that it does not overtake one.
    await this.#knowClock()
    return await this.#order.take(nameOf(namespace, key), undefined,
      async (_, sending) => await this.#delete(namespace, key, this.#unless(sending), condition, caller))
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number, caller?: Caller): Promise<WriteOutcome> {
    await this.#knowClock()
    const { counter, index, channel } = this.#keys
    const times = Buffer.concat([double(expiresAt + this.#skew), double(goneBy(goneAt, this.#skew))])
    return outcome(await this.#order.take(nameOf(namespace, key), undefined, async (_, sending) => await this.#run(() => this.#client.larderExpire(
      this.#keys.entry(namespace, key), counter, index, double(version), times, this.#lifetime(goneAt), channel,
      this.#announcement({ n: namespace, k: key })), this.#unless(sending), caller)))
  }

  async invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<number> {
    const { counter, ledger, channel } = this.#keys
    this.#invalidations++
    // Twice it is in force from the second time on: what was written in between goes too, which an entry of a cache may at any time.
    return await this.#run(() => this.#client.larderInvalidate(
      counter, ledger, channel, this.#announcement({ n: namespace, i: what }), ...fieldsOf(namespace, what)), IDEMPOTENT, caller)
  }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#run(() => Promise.all(fieldsOf(namespace, what).map((field) => this.#client.larderWithdraw(this.#keys.ledger, field, stamp))))
  }

  async inForce (isUrgent = false): Promise<InForce[]> {
    const [floor, ...fields] = await this.#run(() => this.#client.larderInForce(this.#keys.counter, this.#keys.ledger), IDEMPOTENT, undefined, 1, isUrgent)
    this.#floor = Number(floor)
    const found: InForce[] = []
    for (let at = 0; at < fields.length; at += 2) {
      const invalidation = invalidationOf(fields[at] as string, Number(fields[at + 1]))
      if (invalidation !== undefined) found.push(invalidation)
    }
    return found
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    for await (const { entries } of this.#scan.pages(namespace)) {
      yield entries.filter(({ stamp }) => stamp >= this.#floor)
    }
  }

  async discard (namespace: string, entries: readonly ScannedEntry[]): Promise<number> {
    const gone = await this.#run(() => Promise.all(
      entries.map(({ key, version }) => this.#client.larderDiscard(this.#keys.entry(namespace, key), this.#keys.index, double(version)))), undefined, undefined, SCAN_FACTOR)
    return gone.reduce((sum, count) => sum + count, 0)
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    this.#reads.note(namespace, key, version, reads, at)
  }

  /** @throws UnsupportedOperationError for quotas that are more than there is; nothing changes then */
  configure (limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>): void {
    checkQuotas(limits)
    this.#index.configure(limits)
  }

  async settled (): Promise<void> { await this.#index.settled() }

  evictions (namespace?: string): number { return this.#evictions.read(namespace).evictions }

  async usage (namespace?: string): Promise<Usage | undefined> { return await this.#index.usage(namespace) }

  async standing (): Promise<Usage | undefined> { return await this.#index.usage(undefined) }

  /** Clears away what is void, and mends the index. */
  async sweep (): Promise<void> {
    await this.#index.mend()
    const floor = this.#floor
    if (this.#cleared === floor) return
    for await (const { entries } of this.#scan.pages(undefined)) {
      const fallen = entries.filter(({ stamp }) => stamp < floor)
      for (const namespace of new Set(fallen.map(({ namespace }) => namespace))) {
        await this.discard(namespace, fallen.filter((entry) => entry.namespace === namespace))
      }
    }
    this.#cleared = floor
  }

  async follow (listener: ChangeListener): Promise<void> {
    this.#listener = listener
    await this.#following.follow({
      isOwn: (source) => source === this.#source,
      listener,
      // Behind a long queue they would be late, memory would be trusted no more, and the queue be longer still.
      pulse: async (heard) => await this.#pulse(heard, undefined, true),
      inForce: async () => await this.inForce(true)
    })
  }

  async close (): Promise<void> {
    this.#following.close()
    this.#index.close()
    this.#reads.stop()
  }

  /** @throws BackendUnavailableError when Redis does not answer within the deadline */
  async ping (): Promise<void> { await this.#run(() => this.#client.ping(), undefined, undefined, 1, true) }

  async #delete (namespace: string, key: string, repeatable: Repeatable, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    const { counter, index, channel } = this.#keys
    const [kind, version] = conditionArguments(condition)
    return outcome(await this.#run(() => this.#client.larderDelete(
      this.#keys.entry(namespace, key), counter, index, packTombstone(), TOMBSTONE_LIFETIME, kind, version, channel, this.#announcement({ n: namespace, k: key })), repeatable, caller))
  }

  async #write (entry: StoredEntry, mode: WriteMode, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    checkStrategy(entry.strategy, this.name, this.#index.boundsOf(entry.namespace))
    await this.#knowClock()
    const packed = this.format.pack(entry, this.#skew)
    return await this.#order.take(nameOf(entry.namespace, entry.key), packed,
      async (ready, sending) => await this.#send(entry, ready, this.#unless(sending, mode !== 'set'), mode, condition, caller))
  }

  async #send (
    entry: StoredEntry, { record, size, storedLength }: PackedRecord, repeatable: Repeatable, mode: WriteMode, condition?: WriteCondition, caller?: Caller
  ): Promise<WriteOutcome> {
    const { namespace, key, goneAt } = entry
    const { counter, index, channel } = this.#keys
    const refuse = async (refusal: Error): Promise<never> => {
      // What the origin held before must not stay either.
      if (mode === 'replace') await this.#delete(namespace, key, ONCE)
      throw refusal
    }
    const refusal = this.#index.refusal(namespace, size)
    if (refusal !== undefined) return await refuse(refusal)
    const [kind, version] = conditionArguments(condition)
    if (this.#index.isKept) void this.#reads.hurry()
    for (;;) {
      const [stamp, existed, gone, state] = await this.#run(() => this.#client.larderSet(
        this.#keys.entry(namespace, key), counter, index, record, this.#lifetime(goneAt), mode, entry.stamp,
        kind, version, channel, this.#announcement({ n: namespace, k: key }), packTombstone(), TOMBSTONE_LIFETIME,
        size, indexStrategy(entry.strategy), this.#source, ...this.#index.limitArguments, VICTIMS, ...this.#index.quotaArguments(namespace)), repeatable, caller)
      this.#drop(gone)
      if (state === 'building') this.#index.noteBuilding()
      // As another process has set the quotas.
      if (stamp === TOO_LARGE) return await refuse(new EntryTooLargeError(size, existed))
      if (stamp === ALL_RESERVED) return await refuse(new BackendFullError(this.name))
      if (stamp !== MORE_VICTIMS) return outcome([stamp, existed], storedLength)
      throwIfGone(caller)
    }
  }

  /** What was evicted leaves this process's memory as well; the others hear of it. */
  #drop (gone: readonly string[]): void {
    for (let at = 0; at < gone.length; at += 2) {
      const name = gone[at] as string
      const colon = name.indexOf(':')
      const namespace = name.slice(0, colon)
      this.#evictions.of(namespace).evictions++
      this.#listener?.onChange({ kind: 'key', namespace, key: name.slice(colon + 1), stamp: Number(gone[at + 1]) })
    }
  }

  async #pulse (heard = 0, repeatable?: Repeatable, isUrgent = false): Promise<Pulse> {
    let asked = this.#now()
    const [stamp, epoch, time, floor] = await this.#run(() => {
      asked = this.#now()
      return this.#client.larderPulse(this.#keys.counter, this.#keys.ledger, heard)
    }, repeatable, undefined, 1, isUrgent)
    // The answer was made about half way between question and answer.
    this.#skew = Number(time) - (asked + this.#now()) / 2
    this.#floor = Number(floor)
    this.#firstPulse ??= Promise.resolve()
    return { stamp: Number(stamp), epoch, skew: this.#skew }
  }

  /** What is sent later is done later: a write need not wait for those before it. */
  async #reportReads (waiting: Reads[], atOnce: number): Promise<void> {
    for (let from = 0; from < waiting.length; from += atOnce) {
      // Statistics are not worth an error: see ReadReports.
      await Promise.all(waiting.slice(from, from + atOnce).map(async ({ namespace, key, version, reads, at }) => {
        await this.#run(() => this.#client.larderAccess(this.#keys.entry(namespace, key), this.#keys.index, double(version), reads, double(at + this.#skew))).catch(() => {})
      }))
    }
  }

  /** A command that deals in times has to know Redis' clock first. */
  async #timed<T> (command: () => Promise<T>, repeatable?: Repeatable, caller?: Caller, factor?: number): Promise<T> {
    await this.#knowClock()
    return await this.#run(command, repeatable, caller, factor)
  }

  /** Of a pass over everything: it takes longer than an operation does, but a server that hangs is found out as soon. */
  async #step<T> (command: () => Promise<T>, repeatable?: Repeatable): Promise<T> {
    if (performance.now() - this.#guard.answeredAt > A_MOMENT) await this.#run(() => this.#client.ping(), IDEMPOTENT, undefined, 1, true)
    return await this.#timed(command, repeatable, undefined, SCAN_FACTOR)
  }

  async #knowClock (): Promise<void> {
    if (this.#firstPulse === undefined) {
      const first = this.#pulse(0, IDEMPOTENT)
      this.#firstPulse = first
      first.catch(() => { this.#firstPulse = undefined })
    }
    await this.#firstPulse
  }

  async #run<T> (command: () => Promise<T>, repeatable?: Repeatable, caller?: Caller, factor = 1, isUrgent = false): Promise<T> {
    return await this.#guard.run(command, factor * this.#deadline, repeatable, isUrgent, caller)
  }

  /**
   * A write, which is not tried again behind a later one of its key, or a later invalidation, of this process. Of one that comes from a
   * load or a change of the origin (`isIdempotent`) Redis tells by its stamp what it must not follow, its own first try included.
   */
  #unless (sending: Sending, isIdempotent = false): Repeatable {
    const before = this.#invalidations
    return { isIdempotent, isOvertaken: () => sending.isOvertaken || this.#invalidations !== before }
  }

  async #unpack (namespace: string, key: string, record: Buffer): Promise<StoredEntry | undefined> {
    const entry = await this.format.unpack(namespace, key, record, this.#skew)
    return entry === undefined || entry.stamp < this.#floor ? undefined : this.#reads.applied(entry)
  }

  /** The version of an entry that is there and cannot be read: to callers it is absent, and the script cannot tell. */
  async #unreadable (namespace: string, key: string): Promise<number | undefined> {
    const record = await this.#timed(() => this.#client.getBuffer(this.#keys.entry(namespace, key)), IDEMPOTENT)
    return record === null || await this.format.unpack(namespace, key, record, this.#skew) !== undefined ? undefined : versionIn(record)
  }

  #lifetime (goneAt: number): string {
    return goneAt === Infinity ? '' : String(Math.max(1, Math.ceil(goneAt - this.#now())))
  }

  #announcement (what: Omit<Announcement, 'v' | 's'>): string {
    return JSON.stringify({ v: 1, s: this.#source, ...what } satisfies Announcement)
  }
}

const AWAY = 'Redis does not answer: try again in a moment; if it stays so, check REDIS_URL and the server.'
/** Answered by a write for which more entries have to go than one script evicts. */
const MORE_VICTIMS = -3
const TOO_LARGE = -4
const ALL_RESERVED = -5

type WriteMode = 'set' | 'fill' | 'replace'

function outcome ([stamp, existed]: [number, number], storedLength?: number): WriteOutcome {
  if (stamp === -1) return 'superseded'
  if (stamp === -2) return 'precondition'
  return { stamp, existed: existed === 1, ...storedLength === undefined ? undefined : { storedLength } }
}

function conditionArguments (condition: WriteCondition | undefined): [kind: string, version: Buffer] {
  if (condition === undefined) return ['', Buffer.alloc(0)]
  if ('absent' in condition) return ['absent', double(condition.absentOr ?? NaN)]
  return ['version', double(condition.version)]
}

function double (value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeDoubleLE(value)
  return bytes
}
