import { setTimeout as delay } from 'node:timers/promises'
import type { Now } from '../clock.js'
import { sizeOf, type StoredEntry } from '../entry.js'
import { BackendUnavailableError } from '../errors.js'
import { isOutage, type OnFault } from '../faults.js'
import { nameOf } from '../in-flight.js'
import type { DurableTier, DurableWrite } from '../tiers/tier.js'
import type { Aside } from './aside.js'
import type { Journal } from './journal.js'
import { type Pending, WriteQueue } from './queue.js'
import type { Segment } from './segment.js'

/** What may wait for the durable tier. */
export interface QueueBounds {
  /** Keys. */
  maxEntries: number
  /** Bytes of their entries. */
  maxBytes: number
}

/** Milliseconds that a change waits for others of its key, and for company. */
const GATHERING = 50
/** Changes that are written together, and the bytes of their entries. */
const BATCH = 500
const BATCH_BYTES = 1024 * 1024
/** Milliseconds before the first retry, and at most. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 5000
/** Tries of an entry that the tier refuses, before it is set aside. */
const TRIES = 5
/** Bytes of a last segment that is let go as soon as everything in it is written. */
const TRIMMED = 1024 * 1024
/** The journal is written anew when it takes more than this beyond twice of what waits, in bytes. */
const SLACK = 64 * 1024 * 1024

export interface WriteBehindOptions {
  journal: Journal
  tier: DurableTier
  /** Where entries go that the tier keeps refusing. */
  aside: Aside
  now: Now
  bounds: QueueBounds
  /** Gives the numbers of writes. */
  nextSeq: () => number
  /** Is told of each write that came into the tier; `stands` is false when a later one of the key has been asked for. */
  onWritten: (write: Pending, stands: boolean) => void
  /** Journals again what else is open in segments up to a number. */
  renew: (last: number) => Promise<void>
  onFault: OnFault
}

/** What it did since the start, and what waits. */
export interface WriteBehindStatistics {
  length: number
  bytes: number
  /** Milliseconds. */
  oldestAge: number
  /** Batches written. */
  flushes: number
  /** Changes written. */
  flushed: number
  retries: number
  setAside: number
  /** Bytes. */
  journalBytes: number
}

/**
 * Writes that are acknowledged when the journal has them, and come into the durable tier soon after: those of a key in their order,
 * of which only the last that waits is written; those of different keys together.
 */
export class WriteBehind {
  #options: WriteBehindOptions
  #queue = new WriteQueue()
  /** Entries and bytes of changes that are being journalled. */
  #entering = { entries: 0, bytes: 0 }
  #running: Promise<void> | undefined
  #isStopped = false
  #stop = new AbortController()
  #failures = 0
  #counts = { flushes: 0, flushed: 0, retries: 0, setAside: 0 }
  #compacting: Promise<void> | undefined
  /** Bytes of the journal after it was last written anew. */
  #compacted = 0
  #underway = new Set<Promise<unknown>>()

  constructor (options: WriteBehindOptions) { this.#options = options }

  get statistics (): WriteBehindStatistics {
    const { journal, now } = this.#options
    return { length: this.#queue.length, bytes: this.#queue.bytes, oldestAge: this.#queue.age(now()), ...this.#counts, journalBytes: journal.bytes }
  }

  get isEmpty (): boolean { return this.#queue.length === 0 && this.#entering.entries === 0 }

  /** The newest change of a key that is not known to be in the tier. */
  lookup (name: string): Pending | undefined { return this.#queue.get(name) }

  /** Every change that waits or is under way. */
  pending (): Iterable<Pending> { return this.#queue.all() }

  /**
   * Stores an entry, or deletes a key, some time. It will not be lost from the moment the promise settles.
   * @throws BackendUnavailableError when too much waits already · BackendFullError when the disk is full
   */
  async write (namespace: string, key: string, entry: StoredEntry | undefined, seq = this.#options.nextSeq()): Promise<void> {
    const name = nameOf(namespace, key)
    const bytes = entry === undefined ? sizeOf(key, '', [], undefined) : sizeOf(key, entry.value, entry.tags, entry.metadata)
    this.#admit(name, bytes)
    this.#entering.entries++
    this.#entering.bytes += bytes
    let segment: Segment
    try {
      segment = await this.#options.journal.append({ kind: 'write', namespace, key, seq, entry })
    } finally {
      this.#entering.entries--
      this.#entering.bytes -= bytes
    }
    this.#enqueue({ name, namespace, key, seq, isResumed: false, entry, bytes, segment, since: this.#options.now(), tries: 0, notBefore: 0 })
    this.#compactWhereDue()
  }

  /** Takes up what an earlier life of the process left in the journal, in the order of its records. */
  resume (write: DurableWrite, segment: Segment): void {
    const { namespace, key, seq, entry } = write
    const bytes = entry === undefined ? sizeOf(key, '', [], undefined) : sizeOf(key, entry.value, entry.tags, entry.metadata)
    this.#enqueue({ name: nameOf(namespace, key), namespace, key, seq, isResumed: true, entry, bytes, segment, since: this.#options.now(), tries: 0, notBefore: 0 })
  }

  /** Something newer of the key is in the tier. */
  supersede (name: string, seq: number): void {
    for (const { segment } of this.#queue.supersede(name, seq)) this.#options.journal.settle(segment)
  }

  /** Writes to the tier past the queue; `idle` waits for it. */
  async writeThrough (write: DurableWrite): Promise<void> { await this.#write([write]) }

  /** Settles when every write to the tier that is under way now is over. */
  async idle (): Promise<void> { await Promise.allSettled(this.#underway) }

  /** Writes what waits, for so many milliseconds at most, and stops. What is left stays in the journal. */
  async close (milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds
    while (!this.isEmpty && performance.now() < until) {
      this.#run()
      await Promise.race([this.#running, delay(Math.max(1, until - performance.now()), undefined, { ref: false })])
    }
    this.#isStopped = true
    this.#stop.abort()
    await this.#compacting
    await Promise.race([this.#running, delay(1000, undefined, { ref: false })])
  }

  #admit (name: string, bytes: number): void {
    const { bounds: { maxEntries, maxBytes } } = this.#options
    if (this.#isStopped) throw new BackendUnavailableError('Larder is stopping: send this to another, or again later.')
    const replaced = this.#queue.get(name)
    const entries = this.#queue.length + this.#entering.entries + (replaced === undefined ? 1 : 0)
    const total = this.#queue.bytes + this.#entering.bytes + bytes - (replaced?.bytes ?? 0)
    if (entries <= maxEntries && total <= maxBytes) return
    throw new BackendUnavailableError('Too much waits for the durable tier of write_behind already: try again later; if it stays so, look after the tier, or raise CACHE_WRITE_BEHIND_MAX_ENTRIES and CACHE_WRITE_BEHIND_MAX_BYTES.')
  }

  #enqueue (pending: Pending): void {
    const newer = this.#queue.get(pending.name)
    if (newer !== undefined && newer.seq > pending.seq) {
      this.#options.journal.settle(pending.segment)
      return
    }
    const replaced = this.#queue.put(pending)
    if (replaced !== undefined) this.#options.journal.settle(replaced.segment)
    this.#run()
  }

  #run (): void {
    if (this.#isStopped) return
    this.#running ??= this.#flush().catch(this.#options.onFault).finally(() => {
      this.#running = undefined
      if (this.#queue.length > 0) this.#run()
    })
  }

  async #flush (): Promise<void> {
    const { now } = this.#options
    await this.#pause(GATHERING)
    while (!this.#isStopped && this.#queue.length > 0) {
      const batch = this.#queue.take(BATCH, BATCH_BYTES, now())
      if (batch.length === 0) {
        await this.#pause(FIRST_PAUSE)
        continue
      }
      const outage = await this.#flushBatch(batch)
      if (!outage) {
        this.#failures = 0
        continue
      }
      this.#counts.retries++
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++)
      await this.#pause(pause / 2 + Math.random() * pause / 2)
    }
    if (this.isEmpty) this.#options.journal.trim(TRIMMED)
  }

  /** @returns whether the tier was away */
  async #flushBatch (batch: Pending[]): Promise<boolean> {
    try {
      // As they are now: an invalidation may make a deletion of one meanwhile.
      await this.#write(batch.map(({ namespace, key, seq, entry }) => ({ namespace, key, seq, entry })))
      this.#counts.flushes++
      for (const pending of batch) this.#written(pending)
      return false
    } catch (error) {
      if (isOutage(error)) {
        for (const pending of batch) this.#again(pending)
        return true
      }
      if (batch.length === 1) {
        await this.#refused(batch[0] as Pending, error)
        return false
      }
    }
    // One of them is refused: which one shows when each goes alone.
    let outage = false
    for (const pending of batch) {
      if (outage) this.#again(pending)
      else outage = await this.#flushBatch([pending])
    }
    return outage
  }

  async #write (writes: readonly DurableWrite[]): Promise<void> {
    const writing = this.#options.tier.write(writes)
    this.#underway.add(writing)
    try {
      await writing
    } finally {
      this.#underway.delete(writing)
    }
  }

  #written (pending: Pending): void {
    const stands = this.#queue.get(pending.name) === pending
    this.#queue.done(pending)
    this.#counts.flushed++
    this.#options.onWritten(pending, stands)
    this.#options.journal.settle(pending.segment)
  }

  #again (pending: Pending): void {
    if (!this.#queue.back(pending)) this.#options.journal.settle(pending.segment)
  }

  async #refused (pending: Pending, error: unknown): Promise<void> {
    const { aside, journal, now, onFault } = this.#options
    pending.tries++
    if (pending.tries < TRIES) {
      this.#counts.retries++
      pending.notBefore = now() + FIRST_PAUSE * 2 ** pending.tries
      this.#again(pending)
      return
    }
    try {
      await aside.put(pending, error)
    } catch (fault) {
      // It stays in the queue, and so in the journal.
      onFault(fault)
      pending.notBefore = now() + LONGEST_PAUSE
      this.#again(pending)
      return
    }
    this.#counts.setAside++
    this.#queue.done(pending)
    journal.settle(pending.segment)
  }

  /** Where one key is written over and over, most of the journal is long replaced. */
  #compactWhereDue (): void {
    const { journal } = this.#options
    if (this.#compacting !== undefined || journal.bytes < Math.max(2 * this.#queue.bytes + SLACK, 2 * this.#compacted)) return
    this.#compacting = this.#compact().catch(this.#options.onFault).finally(() => {
      this.#compacting = undefined
      this.#compacted = journal.bytes
    })
  }

  /** Writes what is still open into new segments, so that the old ones can go. */
  async #compact (): Promise<void> {
    const { journal, renew } = this.#options
    const last = journal.turn()
    await renew(last)
    for (const pending of [...this.#queue.all()]) {
      if (pending.segment.number > last || this.#isStopped) continue
      const { namespace, key, seq, entry } = pending
      const segment = await journal.append({ kind: 'write', namespace, key, seq, entry })
      const stands = this.#queue.get(pending.name) === pending
      journal.settle(stands ? pending.segment : segment)
      if (stands) pending.segment = segment
    }
  }

  async #pause (milliseconds: number): Promise<void> {
    // An end of the process cuts it short.
    await delay(milliseconds, undefined, { signal: this.#stop.signal }).catch(() => {})
  }
}
