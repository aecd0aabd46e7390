import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Now } from '../clock.js'
import type { StoredEntry } from '../entry.js'
import type { OnFault } from '../faults.js'
import { nameOf } from '../in-flight.js'
import type { Fallen, Invalidation, Ledger } from '../ledger.js'
import { RecordFormat } from '../record-format.js'
import type { DurableTier } from '../tiers/tier.js'
import { Aside } from './aside.js'
import { type HeldFolder, holdFolder, type LockFolder } from './folder.js'
import { Journal, type Recovered } from './journal.js'
import { Presence } from './presence.js'
import { Sweeper } from './sweeper.js'
import { type QueueBounds, WriteBehind, type WriteBehindStatistics } from './write-behind.js'

/** Milliseconds that an end waits for what is still to be written. */
const CLOSE_WITHIN = 4000

export interface DurabilityOptions {
  /** Of the journal, which belongs to one process. */
  folder: string
  lock: LockFolder
  /** Opens the tier for the entries of a space: letters and digits. */
  tier: (space: string) => DurableTier | Promise<DurableTier>
  now: Now
  bounds: QueueBounds
  /** The invalidations that entries are held against. */
  ledger: Ledger
  /** How the journal writes entries. Default: as they are. */
  format?: RecordFormat
  onFault: OnFault
  /** Milliseconds that `close` may take to write what waits. Default 4000. */
  closeWithin?: number
}

/** Whether an earlier life of a process has left something in the folder. */
export async function hasLeft (folder: string): Promise<boolean> {
  return await stat(join(folder, 'identity.json')).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return false
    throw error
  })
}

/** What stands behind the strategies write_through and write_behind: the durable tier, the journal before it, and what is known of both. */
export class Durability {
  readonly tier: DurableTier
  readonly behind: WriteBehind
  readonly presence: Presence
  #folder: HeldFolder
  #journal: Journal
  #sweeper: Sweeper
  #ledger: Ledger
  #onFault: OnFault
  #closeWithin: number
  #lastSeq: number

  private constructor ({ now, bounds, ledger, onFault, format = new RecordFormat(), closeWithin = CLOSE_WITHIN }: DurabilityOptions, folder: HeldFolder, tier: DurableTier, journal: Journal) {
    this.tier = tier
    this.#folder = folder
    this.#journal = journal
    this.#ledger = ledger
    this.#onFault = onFault
    this.#closeWithin = closeWithin
    this.#lastSeq = folder.firstNumber
    this.presence = new Presence(folder.isNew && journal.isEmpty, now)
    this.#sweeper = new Sweeper({ tier, journal, behind: () => this.behind, ledger, now, onFault })
    this.behind = new WriteBehind({
      journal,
      tier,
      aside: new Aside(join(folder.path, 'refused'), format, onFault),
      now,
      bounds,
      nextSeq: () => this.nextSeq(),
      onWritten: ({ namespace, key, entry, isResumed }, stands) => {
        // What is played again may be older than what the tier has.
        if (stands && entry === undefined && !isResumed) this.presence.noteAbsent(nameOf(namespace, key))
      },
      renew: async (last) => { await this.#sweeper.renew(last) },
      onFault
    })
  }

  /** Takes the folder, and takes up what earlier lives of the process have left in it. Rejects as the lock does, and with faults of the disk. */
  static async open (options: DurabilityOptions): Promise<Durability> {
    const folder = await holdFolder(options.folder, options.lock)
    try {
      const { onFault, ledger, format } = options
      // Stamps go on from a number that no earlier life has come to.
      ledger.stamp = Math.max(ledger.stamp, folder.firstNumber)
      const { journal, recovered } = await Journal.open({ folder: folder.path, onFault, ...format === undefined ? {} : { format } })
      const durability = new Durability(options, folder, await options.tier(folder.space), journal)
      // Also where the folder has lost the count of its starts.
      for (const record of recovered) durability.#goOnFrom(record)
      // Every write first: some that came before an invalidation stand behind it.
      for (const record of recovered) if (record.kind === 'write') durability.behind.resume(record, record.segment)
      for (const record of recovered) {
        if (record.kind !== 'through') continue
        durability.behind.supersede(nameOf(record.namespace, record.key), record.seq)
        journal.settle(record.segment)
      }
      for (const record of recovered) if (record.kind === 'invalidation') durability.#resume(record)
      if (!durability.presence.isBuilt) durability.#buildPresence()
      return durability
    } catch (error) {
      folder.release()
      throw error
    }
  }

  get statistics (): WriteBehindStatistics & { sweeps: number, damaged: number } {
    return { ...this.behind.statistics, sweeps: this.#sweeper.length, damaged: this.#journal.damaged }
  }

  /** In steps of two: see `Sweeper`. */
  nextSeq (): number {
    this.#lastSeq += 2
    return this.#lastSeq
  }

  /** Stores an entry in the tier, past the queue. */
  async writeThrough (entry: StoredEntry): Promise<void> {
    const { namespace, key } = entry
    const name = nameOf(namespace, key)
    const seq = this.nextSeq()
    this.presence.add(namespace, name)
    try {
      await this.behind.writeThrough({ namespace, key, seq, entry })
    } catch (error) {
      this.presence.doubt()
      throw error
    }
    this.presence.add(namespace, name)
    this.behind.supersede(name, seq)
    // What the journal has of the key, written long ago though it may be, is played again after a crash, and would be read until it is
    // held against the tier.
    if (!this.#journal.isEmpty) this.#journal.settle(await this.#journal.append({ kind: 'through', namespace, key, seq }))
  }

  /** Stores an entry in the journal, or (without one) the deletion of a key, on their way to the tier. */
  async writeBehind (namespace: string, key: string, entry: StoredEntry | undefined): Promise<void> {
    const name = nameOf(namespace, key)
    if (entry !== undefined) this.presence.add(namespace, name)
    await this.behind.write(namespace, key, entry)
    if (entry !== undefined) this.presence.add(namespace, name)
  }

  /**
   * Records an invalidation that the ledger has at the stamp, so that it holds whatever happens.
   * @returns what begins the sweep for it: settles when it is through, and tells how many entries fell so far
   */
  async invalidate (namespace: string, what: Invalidation, stamp: number): Promise<{ swept: Promise<void>, sweep: Readonly<Fallen> }> {
    const seq = this.nextSeq()
    const segment = await this.#journal.append({ kind: 'invalidation', namespace, what, stamp, seq })
    const sweep = { namespace, what, stamp, seq, segment, removed: 0, outdated: 0 }
    return { swept: this.#sweeper.add(sweep), sweep }
  }

  isInForce (stamp: number): boolean { return this.#sweeper.isInForce(stamp) }

  /** Reclaims what is over. */
  async clean (): Promise<void> {
    if (!this.presence.isBuilt || this.presence.isWorn) this.#buildPresence()
    await this.tier.sweep(Math.min(this.#journal.oldestSeq, Number.MAX_SAFE_INTEGER))
    if (this.behind.isEmpty) this.#journal.trim()
  }

  async close (): Promise<void> {
    await this.behind.close(this.#closeWithin)
    await this.#sweeper.close()
    await this.#journal.close()
    await this.tier.close()
    this.#folder.release()
  }

  #goOnFrom (record: Recovered): void {
    this.#lastSeq = Math.max(this.#lastSeq, record.seq)
    const stamp = record.kind === 'invalidation' ? record.stamp : record.kind === 'write' ? record.entry?.stamp : undefined
    this.#ledger.stamp = Math.max(this.#ledger.stamp, stamp ?? 0)
  }

  #resume ({ namespace, what, stamp, seq, segment }: Recovered & { kind: 'invalidation' }): void {
    this.#ledger.record(namespace, what, stamp)
    void this.#sweeper.add({ namespace, what, stamp, seq, segment, removed: 0, outdated: 0 })
  }

  #buildPresence (): void {
    this.presence.build(() => this.tier.scan(undefined), () => this.behind.pending()).catch(this.#onFault)
  }
}
