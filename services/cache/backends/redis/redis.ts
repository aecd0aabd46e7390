import type { ChainableCommander, Redis, RedisOptions as ClientOptions } from 'ioredis'
import { randomBytes } from 'node:crypto'
import type { Now } from '../../clock.js'
import type { StoredEntry } from '../../entry.js'
import type { Invalidation } from '../../ledger.js'
import { nameOf } from '../../in-flight.js'
import { HEADER_LENGTH, packTombstone, prefixLength } from '../../record.js'
import { RecordFormat } from '../../record-format.js'
import type { BreakerState } from '../../resilience.js'
import type { ChangeListener, InForce, ScannedEntry, SharedBackend, WriteCondition, WriteOutcome } from '../backend.js'
import { type Announcement, Follower, type Pulse } from '../follower.js'
import { Guard } from '../guard.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { ReadReports, type Reads } from '../reads.js'
import { SendingOrder } from '../sending-order.js'
import { RedisLeases } from './leases.js'
import { type Scripted, scripts } from './scripts.js'

/** How long a deletion is remembered, in milliseconds: longer than any load may take. */
const TOMBSTONE_LIFETIME = 120_000
/** Bytes that hold header, tags and metadata of nearly every entry. */
const PREFIX = HEADER_LENGTH + 448
const SCAN_COUNT = 1000
/** How long an operation may take, and a step of a pass over everything, in milliseconds. */
const DEADLINE = 200
const SCAN_DEADLINE = 1000
/** Consecutive outages after which Redis is left alone. */
const BREAK_AFTER = 5

export interface RedisOptions {
  /** For commands: without an offline queue, and with a `commandTimeout` of some seconds, behind the shorter one here. Not closed here. */
  client: Redis
  /** Before every key and channel, `larder:app` for instance. */
  prefix: string
  now: Now
  /** Default: JSON text as it is. */
  format?: RecordFormat
}

/**
 * Entries in Redis, as one string each (see `record.ts`) that expires by Redis' own means; several processes share them.
 * Only plain commands and small scripts over at most one entry; never KEYS, never FLUSHALL.
 */
export class RedisBackend implements SharedBackend {
  readonly name = 'redis'
  readonly leases: RedisLeases
  readonly format: RecordFormat
  #client: Redis & Scripted
  #subscriber: Redis | undefined
  #prefix: string
  #now: Now
  #order = new SendingOrder()
  #source = randomBytes(6).toString('hex')
  #follower: Follower | undefined
  /** Milliseconds that Redis' clock is ahead of ours; known from the first pulse on. */
  #skew = 0
  #firstPulse: Promise<unknown> | undefined
  #reads = new ReadReports((reads) => { this.#reportReads(reads) })
  #guard = new Guard({ name: this.name, away: AWAY, breakAfter: BREAK_AFTER, isOutage, isFull: ({ message }) => NO_ROOM.test(message) })

  constructor ({ client, prefix, now, format = new RecordFormat() }: RedisOptions) {
    for (const [name, script] of Object.entries(scripts)) if (!(name in client)) client.defineCommand(name, script)
    this.#client = client as Redis & Scripted
    this.#prefix = prefix
    this.#now = now
    this.format = format
    this.leases = new RedisLeases({
      client: this.#client,
      names: {
        counter: this.#counter,
        channel: this.#channel,
        entry: (namespace, key) => this.#entry(namespace, key),
        lease: (namespace, key) => `${this.#prefix}:lease:${namespace}:${key}`
      },
      run: async (command) => await this.#run(command),
      stamp: async () => await this.stamp(),
      released: (namespace, key) => `0 ${this.#announcement({ n: namespace, r: key })}`
    })
  }

  get isFollowing (): boolean { return this.#follower?.isFollowing ?? false }

  /** `closed` is the good state; `open` leaves Redis alone for a second. */
  get breaker (): BreakerState { return this.#guard.state }

  async get (namespace: string, key: string): Promise<StoredEntry | undefined> {
    const record = await this.#timed(() => this.#client.getBuffer(this.#entry(namespace, key)))
    return record === null ? undefined : await this.#unpack(namespace, key, record)
  }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    if (keys.length === 0) return []
    const records = await this.#timed(() => this.#client.mgetBuffer(keys.map((key) => this.#entry(namespace, key))))
    return await Promise.all(records.map(async (record, at) => record === null ? undefined : await this.#unpack(namespace, keys[at] as string, record)))
  }

  async stamp (): Promise<number> {
    const last = await this.#run(() => this.#client.hget(this.#counter, 'n'))
    return last === null ? (await this.#pulse()).stamp : Number(last)
  }

  async set (entry: StoredEntry, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#write(entry, 'set', condition)
  }

  async fill (entry: StoredEntry): Promise<WriteOutcome> { return await this.#write(entry, 'fill') }
  async replace (entry: StoredEntry): Promise<WriteOutcome> { return await this.#write(entry, 'replace') }

  async delete (namespace: string, key: string, condition?: WriteCondition): Promise<WriteOutcome> {
    const [kind, version] = conditionArguments(condition)
    // Timed like a write, so that it does not overtake one.
    await this.#knowClock()
    return outcome(await this.#order.take(nameOf(namespace, key), undefined, async () => await this.#run(() => this.#client.larderDelete(
      this.#entry(namespace, key), this.#counter, packTombstone(), TOMBSTONE_LIFETIME, kind, version, this.#channel,
      this.#announcement({ n: namespace, k: key })))))
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number): Promise<WriteOutcome> {
    await this.#knowClock()
    const times = Buffer.concat([double(expiresAt + this.#skew), double(goneAt + this.#skew)])
    return outcome(await this.#order.take(nameOf(namespace, key), undefined, async () => await this.#run(() => this.#client.larderExpire(
      this.#entry(namespace, key), this.#counter, double(version), times, this.#lifetime(goneAt), this.#channel,
      this.#announcement({ n: namespace, k: key })))))
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    return await this.#run(() => this.#client.larderInvalidate(
      this.#counter, this.#ledger, this.#channel, this.#announcement({ n: namespace, i: what }),
      ...fieldsOf(namespace, what)))
  }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#run(() => Promise.all(fieldsOf(namespace, what).map((field) => this.#client.larderWithdraw(this.#ledger, field, stamp))))
  }

  async inForce (): Promise<InForce[]> {
    const fields = await this.#run(() => this.#client.hgetall(this.#ledger))
    return Object.entries(fields).flatMap(([field, stamp]) => invalidationOf(field, Number(stamp)) ?? [])
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    const prefix = namespace === undefined ? `${this.#prefix}:entry:` : this.#entry(namespace, '')
    let cursor = '0'
    do {
      const [next, names] = await this.#timed(() => this.#client.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', SCAN_COUNT), SCAN_DEADLINE)
      cursor = next
      if (names.length > 0) yield await this.#facts(names)
    } while (cursor !== '0')
  }

  async discard (namespace: string, entries: readonly ScannedEntry[]): Promise<number> {
    const gone = await this.#run(() => Promise.all(
      entries.map(({ key, version }) => this.#client.larderDiscard(this.#entry(namespace, key), double(version)))), SCAN_DEADLINE)
    return gone.reduce((sum, count) => sum + count, 0)
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    this.#reads.note(namespace, key, version, reads, at)
  }

  async follow (listener: ChangeListener): Promise<void> {
    // Outlives every outage: the heartbeat is what tells whether it works.
    this.#subscriber = (this.#client as Redis).duplicate<Partial<ClientOptions>>({ autoResubscribe: true, enableAutoPipelining: false, retryStrategy: (times) => Math.min(times * 50, 250) })
    // Without a listener Node treats a refused connection as fatal; the heartbeat reports it.
    this.#subscriber.on('error', () => {})
    const subscriber = this.#subscriber
    this.#follower = new Follower({
      subscription: {
        listen: (hear, lost) => {
          subscriber.on('message', (channel, message) => { if (channel === this.#channel) hear(message) })
          subscriber.on('close', lost)
        },
        // Subscribing again is harmless, and answers only over a connection that lives.
        prove: async () => await subscriber.subscribe(this.#channel)
      },
      isOwn: (source) => source === this.#source,
      listener,
      pulse: async () => await this.#pulse(),
      inForce: async () => await this.inForce()
    })
    // Where commands cannot be sent, there is nothing to wait for: the heartbeat tells when there is.
    if (this.#client.status !== 'ready') return
    await connected(this.#subscriber)
    await this.#follower.beat()
  }

  async close (): Promise<void> {
    this.#follower?.stop()
    this.#reads.stop()
    this.#subscriber?.disconnect()
  }

  /** @throws BackendUnavailableError when Redis does not answer within the deadline */
  async ping (): Promise<void> { await this.#run(() => this.#client.ping()) }

  async #write (entry: StoredEntry, mode: 'set' | 'fill' | 'replace', condition?: WriteCondition): Promise<WriteOutcome> {
    const { namespace, key } = entry
    const [kind, version] = conditionArguments(condition)
    await this.#knowClock()
    const packed = this.format.pack(entry, this.#skew)
    return await this.#order.take(nameOf(namespace, key), packed, async ({ record, storedLength }) => outcome(await this.#run(() => this.#client.larderSet(
      this.#entry(namespace, key), this.#counter, record, this.#lifetime(entry.goneAt), mode, entry.stamp,
      kind, version, this.#channel, this.#announcement({ n: namespace, k: key }), packTombstone(), TOMBSTONE_LIFETIME)), storedLength))
  }

  async #pulse (): Promise<Pulse> {
    const asked = this.#now()
    const [stamp, epoch, time] = await this.#run(() => this.#client.larderPulse(this.#counter))
    // The answer was made about half way between question and answer.
    this.#skew = Number(time) - (asked + this.#now()) / 2
    return { stamp: Number(stamp), epoch, skew: this.#skew }
  }

  async #facts (names: string[]): Promise<ScannedEntry[]> {
    const answers = await this.#run(async () => {
      const pipeline: ChainableCommander = this.#client.pipeline()
      for (const name of names) pipeline.getrangeBuffer(name, 0, PREFIX - 1).strlen(name)
      const answers = await pipeline.exec() ?? []
      // It resolves with the errors of its commands. That a key is no string is one of them, and its owner's business.
      for (const [error] of answers) if (error !== null && isOutage(error)) throw error
      return answers
    }, SCAN_DEADLINE)
    const found: ScannedEntry[] = []
    for (const [at, name] of names.entries()) {
      let record = answers[2 * at]?.[1] as Buffer | null
      const length = answers[2 * at + 1]?.[1] as number
      if (!Buffer.isBuffer(record)) continue
      const needed = prefixLength(record)
      if (needed === undefined) continue
      if (needed > record.length) record = await this.#run(() => this.#client.getrangeBuffer(name, 0, needed - 1))
      const [namespace, key] = this.#parts(name)
      const facts = this.format.facts(namespace, key, record, this.#skew)
      if (facts !== undefined) found.push({ ...facts, valueLength: length - needed })
    }
    return found
  }

  #reportReads (waiting: Reads[]): void {
    for (const { namespace, key, version, reads, at } of waiting) {
      this.#run(() => this.#client.larderAccess(this.#entry(namespace, key), double(version), reads, double(at + this.#skew))).catch(() => {})
    }
  }

  /** A command that deals in times has to know Redis' clock first. */
  async #timed<T> (command: () => Promise<T>, deadline = DEADLINE): Promise<T> {
    await this.#knowClock()
    return await this.#run(command, deadline)
  }

  async #knowClock (): Promise<void> {
    if (this.#firstPulse === undefined) {
      const first = this.#pulse()
      this.#firstPulse = first
      first.catch(() => { this.#firstPulse = undefined })
    }
    await this.#firstPulse
  }

  async #run<T> (command: () => Promise<T>, deadline = DEADLINE): Promise<T> { return await this.#guard.run(command, deadline) }

  async #unpack (namespace: string, key: string, record: Buffer): Promise<StoredEntry | undefined> {
    const entry = await this.format.unpack(namespace, key, record, this.#skew)
    return entry === undefined ? undefined : this.#reads.applied(entry)
  }

  #lifetime (goneAt: number): string {
    return goneAt === Infinity ? '' : String(Math.max(1, Math.ceil(goneAt - this.#now())))
  }

  #announcement (what: Omit<Announcement, 'v' | 's'>): string {
    return JSON.stringify({ v: 1, s: this.#source, ...what } satisfies Announcement)
  }

  #entry (namespace: string, key: string): string { return `${this.#prefix}:entry:${namespace}:${key}` }
  #parts (name: string): [namespace: string, key: string] {
    const start = `${this.#prefix}:entry:`.length
    const colon = name.indexOf(':', start)
    return [name.slice(start, colon), name.slice(colon + 1)]
  }

  get #counter (): string { return `${this.#prefix}:counter` }
  get #ledger (): string { return `${this.#prefix}:ledger` }
  get #channel (): string { return `${this.#prefix}:changes` }
}

const AWAY = 'Redis does not answer: try again in a moment; if it stays so, check REDIS_URL and the server.'
const OUTAGES = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOAUTH|NOPERM|WRONGPASS|NOREPLICAS|BUSY)\b/
/** Memory that is used up, and a disk: reads go on. */
const NO_ROOM = /^(OOM|MISCONF)\b/

/** Anything but an answer of Redis that says the command itself was wrong. */
function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name !== 'ReplyError' ? !(error instanceof TypeError) : OUTAGES.test(error.message)
}

/** Settles when the connection stands, or is known not to. */
async function connected (client: Redis): Promise<void> {
  if (client.status === 'ready') return
  await new Promise<void>((resolve) => {
    client.once('ready', resolve)
    client.once('close', resolve)
  })
}

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
