import type { InForce, Outline, SharedBackend } from '../backends/backend.js'
import { outlinesIn } from '../backends/outline.js'
import type { Now } from '../clock.js'
import { goneAfterSoft } from '../entry.js'
import { isOutage, type OnFault } from '../faults.js'
import type { Invalidation, Ledger } from '../ledger.js'

interface Retiree { namespace: string, what: Invalidation, stamp: number, dueAt: number }

export interface RetirementOptions {
  backend: SharedBackend
  /** Holds everything that is to be withdrawn. */
  ledger: Ledger
  now: Now
  /** Milliseconds that an invalidation stays: longer than any load may take. */
  after: number
  onFault: OnFault
}

/**
 * Lets the backend forget invalidations. It may hold entries that fell to one: of a load that began before it and ended after the
 * sweep that reclaimed the others, or because that sweep was cut off. So each invalidation stays until no such load is kept any
 * more; then one more sweep, for all that are due, drops what fell, and only then they are withdrawn.
 */
export class Retirement {
  #options: RetirementOptions
  #retirees = new Set<Retiree>()
  /** What other processes have to withdraw, with the time at which it was first seen. */
  #foreign = new Map<string, number>()
  #isRunning = false
  #notBefore = 0

  constructor (options: RetirementOptions) { this.#options = options }

  /** Withdraws the invalidation when its time has come. */
  add (namespace: string, what: Invalidation, stamp: number): void {
    const { now, after } = this.#options
    this.#retirees.add({ namespace, what, stamp, dueAt: now() + after })
  }

  /** Takes over what is in force for so long that the process which recorded it must be gone. */
  adopt (inForce: readonly InForce[]): void {
    const { now, after } = this.#options
    const own = new Set([...this.#retirees].map(({ stamp }) => stamp))
    const before = this.#foreign
    this.#foreign = new Map()
    for (const { namespace, what, stamp } of inForce) {
      if (own.has(stamp)) continue
      const id = JSON.stringify([stamp, namespace, what])
      const since = before.get(id) ?? now()
      if (now() - since > 3 * after) this.#retirees.add({ namespace, what, stamp, dueAt: now() })
      else this.#foreign.set(id, since)
    }
  }

  /** Withdraws what is due. To be called often; does nothing most of the time, and never rejects. */
  async run (): Promise<void> {
    const { backend, now, after, onFault } = this.#options
    if (this.#isRunning || this.#retirees.size === 0 || now() < this.#notBefore) return
    const due = [...this.#retirees].filter(({ dueAt }) => dueAt <= now())
    if (due.length === 0) return
    this.#isRunning = true
    try {
      for (const namespace of new Set(due.map(({ namespace }) => namespace))) {
        await this.#sweep(namespace, due.some(({ namespace: its, what }) => its === namespace && what.tags !== undefined))
      }
      for (const retiree of due) {
        await backend.withdraw(retiree.namespace, retiree.what, retiree.stamp)
        this.#retirees.delete(retiree)
      }
    } catch (error) {
      // Everything still due stays in force, and is tried again.
      if (!isOutage(error)) onFault(error)
    } finally {
      this.#isRunning = false
      // A sweep looks at every key: at most two in the time that one invalidation stays.
      this.#notBefore = now() + after / 2
    }
  }

  /** @param byTag whether any of what is due goes by tags: an entry whose tags cannot be read may have them, and a key that comes back shows them again */
  async #sweep (namespace: string, byTag: boolean): Promise<void> {
    const { backend, ledger, now } = this.#options
    for await (const entries of outlinesIn(backend, namespace)) {
      const gone: Outline[] = []
      for (const entry of entries) {
        const { key, tags, stamp, version, expiresAt, goneAt, isUnreadable = false } = entry
        if (isUnreadable && byTag) {
          gone.push(entry)
          continue
        }
        const marker = ledger.namespace(namespace).verdict(key, tags, stamp, 0)
        if (marker === undefined) continue
        if (!marker.soft || goneAt === expiresAt) gone.push(entry)
        // Stale by a soft invalidation, and to stay so without it.
        else if (expiresAt > now()) await backend.expire(namespace, key, version, now(), goneAfterSoft(entry, now()))
      }
      await backend.discard(namespace, gone)
    }
  }
}
