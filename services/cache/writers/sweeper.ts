import { setTimeout as delay } from 'node:timers/promises'
import type { Now } from '../clock.js'
import { goneAfterSoft, type StoredEntry } from '../entry.js'
import { isOutage, type OnFault } from '../faults.js'
import { nameOf } from '../in-flight.js'
import type { Invalidation, Ledger, Marker } from '../ledger.js'
import type { DurableFacts, DurableTier } from '../tiers/tier.js'
import type { Journal } from './journal.js'
import type { Segment } from './segment.js'
import type { WriteBehind } from './write-behind.js'

/** Milliseconds before the first retry, and at most. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 5000

/** An invalidation that the durable tier has not been swept for. */
export interface Sweep {
  readonly namespace: string
  readonly what: Invalidation
  readonly stamp: number
  readonly seq: number
  segment: Segment
  /** Entries that fell to it so far, and are gone. */
  removed: number
  /** Those that it left for their grace. */
  outdated: number
}

export interface SweeperOptions {
  tier: DurableTier
  journal: Journal
  behind: () => WriteBehind
  ledger: Ledger
  now: Now
  onFault: OnFault
}

/**
 * Makes invalidations come true in the durable tier. One is in force from its record in the journal on; entries are held against it
 * when they are read, until a sweep has dropped those that fell.
 */
export class Sweeper {
  #options: SweeperOptions
  /** With what tells whoever waits that it is through. */
  #sweeps = new Map<Sweep, () => void>()
  #running: Promise<void> | undefined
  #stop = new AbortController()

  constructor (options: SweeperOptions) { this.#options = options }

  get length (): number { return this.#sweeps.size }

  /** Whether entries may still fall to the marker with that stamp. */
  isInForce (stamp: number): boolean {
    for (const sweep of this.#sweeps.keys()) if (sweep.stamp === stamp) return true
    return false
  }

  /** Begins a sweep. The promise settles when it is through. */
  add (sweep: Sweep): Promise<void> {
    const swept = new Promise<void>((resolve) => { this.#sweeps.set(sweep, resolve) })
    this.#begin()
    return swept
  }

  /** Journals again what is open in segments up to a number. */
  async renew (last: number): Promise<void> {
    const { journal } = this.#options
    for (const sweep of [...this.#sweeps.keys()]) {
      if (sweep.segment.number > last) continue
      const { namespace, what, stamp, seq } = sweep
      const segment = await journal.append({ kind: 'invalidation', namespace, what, stamp, seq })
      const stands = this.#sweeps.has(sweep)
      journal.settle(stands ? sweep.segment : segment)
      if (stands) sweep.segment = segment
    }
  }

  /** What is left stays in the journal. */
  async close (): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  #begin (): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      // Some may have come after the last look.
      if (this.#sweeps.size > 0 && !this.#stop.signal.aborted) this.#begin()
    })
  }

  async #run (): Promise<void> {
    const { journal, onFault } = this.#options
    const { signal } = this.#stop
    for (let failures = 0; this.#sweeps.size > 0 && !signal.aborted;) {
      const [first] = this.#sweeps.keys() as IterableIterator<Sweep>
      const together = [...this.#sweeps.keys()].filter(({ namespace }) => namespace === first?.namespace)
      try {
        await this.#sweep((first as Sweep).namespace, new Map(together.map((sweep) => [sweep.stamp, sweep])))
      } catch (error) {
        if (!isOutage(error)) onFault(error)
        await delay(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++), undefined, { signal }).catch(() => {})
        continue
      }
      failures = 0
      for (const sweep of together) {
        const tell = this.#sweeps.get(sweep)
        this.#sweeps.delete(sweep)
        journal.settle(sweep.segment)
        tell?.()
      }
    }
  }

  async #sweep (namespace: string, sweeps: Map<number, Sweep>): Promise<void> {
    const { tier, behind, now } = this.#options
    const counted = new Set<string>()
    const count = (marker: Marker, entry: Omit<StoredEntry, 'value'>): void => {
      const sweep = sweeps.get(marker.stamp)
      if (sweep !== undefined && entry.expiresAt > now()) sweep[stays(marker, entry) ? 'outdated' : 'removed']++
    }
    for (const pending of behind().pending()) {
      const { entry } = pending
      const marker = entry === undefined || pending.namespace !== namespace ? undefined : this.#verdict(entry)
      if (entry === undefined || marker === undefined) continue
      if (behind().lookup(pending.name) === pending) {
        counted.add(pending.name)
        count(marker, entry)
      }
      // What was there before it has to go as well: it may carry other tags.
      pending.entry = stays(marker, entry) ? stale(entry, now()) : undefined
    }
    // What is on its way may come in behind the scan.
    await behind().idle()
    for await (const portion of tier.scan(namespace)) {
      const gone: DurableFacts[] = []
      for (const facts of portion) {
        const marker = this.#verdict(facts)
        if (marker === undefined) continue
        const name = nameOf(namespace, facts.key)
        if (!counted.has(name) && behind().lookup(name) === undefined) count(marker, facts)
        if (stays(marker, facts)) await this.#makeStale(facts)
        else gone.push(facts)
      }
      await tier.drop(gone)
    }
  }

  #verdict ({ namespace, key, tags, stamp }: Omit<StoredEntry, 'value'>): Marker | undefined {
    return this.#options.ledger.namespace(namespace).verdict(key, tags, stamp, 0)
  }

  /** Leaves the value for its grace. */
  async #makeStale ({ namespace, key, seq, expiresAt, version }: DurableFacts): Promise<void> {
    const { tier, now } = this.#options
    if (expiresAt <= now()) return
    const [entry] = await tier.getMany(namespace, [key])
    // One on: over what was scanned, under whatever came since, as writes are numbered in steps of two.
    if (entry?.version === version) await tier.write([{ namespace, key, seq: seq + 1, entry: stale(entry, now()) }])
  }
}

/** Whether an entry that falls to the marker is kept for its grace. */
const stays = (marker: Marker, { expiresAt, goneAt }: { expiresAt: number, goneAt: number }): boolean => marker.soft && goneAt !== expiresAt

const stale = (entry: StoredEntry, now: number): StoredEntry => ({ ...entry, expiresAt: Math.min(entry.expiresAt, now), goneAt: goneAfterSoft(entry, now) })
