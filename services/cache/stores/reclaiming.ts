import { setTimeout as delay } from 'node:timers/promises'
import type { Outline, SharedBackend } from '../backends/backend.js'
import { outlinesIn } from '../backends/outline.js'
import type { Now } from '../clock.js'
import { isOutage } from '../faults.js'
import type { Concerned, Ledger, NamespaceLedger } from '../ledger.js'

/** How often a sweep begins anew when the backend went away in the middle of it, and how long it waits before, in milliseconds. */
const TRIES = 20
const PAUSE = 250

/** What fell to an invalidation so far: what was dropped, and what stays for its grace. */
export interface Progress {
  removed: number
  outdated: number
  /** Of a soft invalidation, which entries it concerns before any other; undefined for a hard one. */
  readonly outdates?: Concerned | undefined
  /** Those of them that were met: an entry may be met twice. */
  readonly met: Set<string>
  /** Set when the caller has its answer: counting is over then. */
  isAnswered?: boolean
  /** Set when the caller left before there was one. */
  hasLeft?: boolean
  /** Called when the backend went away: counting may take long from then on. */
  onAway?: () => void
}

interface Sweep { callers: Map<number, Progress>, done: Promise<void> }

/**
 * Drops what has fallen to invalidations, so that it takes no space and can be counted. A sweep looks at every entry of a namespace:
 * one runs at a time, and the next one is for all who asked meanwhile. It ends when all of them have gone before it was over: what is left
 * is dropped before the invalidation is withdrawn.
 */
export class Reclaiming {
  #backend: SharedBackend
  #ledger: Ledger
  #now: Now
  /** By namespace, what settles when the last sweep asked for is over, and the sweep that has not begun. */
  #last = new Map<string, Promise<void>>()
  #waiting = new Map<string, Sweep>()

  constructor (backend: SharedBackend, ledger: Ledger, now: Now) {
    this.#backend = backend
    this.#ledger = ledger
    this.#now = now
  }

  /** @param stamp of the invalidation, whose entries are counted in `progress` as they go */
  async reclaim (namespace: string, stamp: number, progress: Progress): Promise<void> {
    const waiting = this.#waiting.get(namespace)
    if (waiting !== undefined) {
      waiting.callers.set(stamp, progress)
      await waiting.done
      return
    }
    const callers = new Map([[stamp, progress]])
    const done = (this.#last.get(namespace) ?? Promise.resolve()).then(async () => {
      this.#waiting.delete(namespace)
      await this.#sweep(namespace, callers)
    })
    const over = done.catch(() => {}).then(() => { if (this.#last.get(namespace) === over) this.#last.delete(namespace) })
    this.#waiting.set(namespace, { callers, done })
    this.#last.set(namespace, over)
    await done
  }

  /** Whether the entry was more than a stale one until it fell to the invalidation with that stamp. One that cannot be read counts: it was there. */
  #wasFresh (ledger: NamespaceLedger, { key, tags, stamp, expiresAt }: Outline, until: number): boolean {
    return expiresAt > this.#now() && (ledger.softVerdict(key, tags, stamp, 0)?.stamp ?? Infinity) > until
  }

  /** What has a grace stays. */
  async #sweepSoftly (namespace: string, entries: readonly Outline[], progress: Progress, outdates: Concerned): Promise<void> {
    const gone: Outline[] = []
    for (const entry of entries) {
      const { key, tags, stamp, expiresAt, goneAt } = entry
      if (expiresAt <= this.#now() || !outdates(key, tags, stamp)) continue
      if (goneAt === expiresAt) gone.push(entry)
      else if (progress.isAnswered !== true) progress.met.add(key)
    }
    if (progress.isAnswered !== true) progress.outdated = progress.met.size
    if (gone.length > 0) progress.removed += await this.#backend.discard(namespace, gone)
  }

  async #sweep (namespace: string, callers: ReadonlyMap<number, Progress>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        for await (const entries of outlinesIn(this.#backend, namespace)) {
          if (isForNobody(callers)) return
          const ledger = this.#ledger.namespace(namespace)
          const fallen = entries.map((entry) => ({ entry, stamp: ledger.verdict(entry.key, entry.tags, entry.stamp, 0)?.stamp }))
          for (const [stamp, progress] of callers) {
            if (progress.outdates !== undefined) {
              await this.#sweepSoftly(namespace, entries, progress, progress.outdates)
              continue
            }
            const own = fallen.filter((each) => each.stamp === stamp).map(({ entry }) => entry)
            // What was stale goes as well, and counts for nothing: for callers it was gone.
            const fresh = new Set(own.filter((entry) => this.#wasFresh(ledger, entry, stamp)))
            if (fresh.size > 0) progress.removed += await this.#backend.discard(namespace, [...fresh])
            if (fresh.size < own.length) await this.#backend.discard(namespace, own.filter((entry) => !fresh.has(entry)))
          }
        }
        return
      } catch (error) {
        if (!isOutage(error)) throw error
        for (const { onAway } of callers.values()) onAway?.()
        // The invalidation holds all the same, and what is left is dropped before it is withdrawn.
        if (tries === TRIES || isForNobody(callers)) return
        await delay(PAUSE, undefined, { ref: false })
      }
    }
  }
}

/** Whether all have left while they waited for a count: who had an answer has it, and the space is to be had. */
const isForNobody = (callers: ReadonlyMap<number, Progress>): boolean => [...callers.values()].every(({ hasLeft }) => hasLeft === true)
