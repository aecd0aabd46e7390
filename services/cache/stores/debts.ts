import type { InForce, SharedBackend } from '../backends/backend.js'
import { type InFlight, nameOf } from '../in-flight.js'
import type { Invalidation, Ledger, Marker } from '../ledger.js'

/** Deletions and invalidations that are remembered one by one while the backend is away. */
const BOUND = 10_000

export interface DebtsOptions {
  backend: SharedBackend
  ledger: Ledger
  inFlight: InFlight
  /** Is told of each invalidation that the backend has learned of, and of all that are in force then. */
  onPaid: (namespace: string, what: Invalidation, stamp: number, inForce: InForce[]) => void
}

/**
 * What the backend could not be told while it was away. It holds in this process from the moment on at which it is owed, and everywhere
 * once it is paid; it is lost with the process, and then bounded by the TTLs of the entries.
 */
export class Debts {
  #options: DebtsOptions
  /** Deletions, by the entry's name; the last one of a key counts. */
  #keys = new Map<string, { namespace: string, key: string }>()
  #invalidations = new Set<{ namespace: string, what: Invalidation, marker: Marker }>()
  #paying: Promise<void> | undefined

  constructor (options: DebtsOptions) { this.#options = options }

  /** Whether a deletion of the key is owed. */
  has (name: string): boolean { return this.#keys.has(name) }
  get hasInvalidations (): boolean { return this.#invalidations.size > 0 }
  get isEmpty (): boolean { return this.#keys.size === 0 && this.#invalidations.size === 0 }

  oweDeletion (namespace: string, key: string): void {
    this.#keys.set(nameOf(namespace, key), { namespace, key })
    this.#bound()
  }

  oweInvalidation (namespace: string, what: Invalidation): void {
    this.#owe(namespace, what)
    this.#bound()
  }

  /** The key was changed in the backend since. */
  forgive (name: string): void { this.#keys.delete(name) }

  /** Tells the backend what it could not be told before, as far as it answers. */
  async pay (): Promise<void> {
    if (this.isEmpty) return
    this.#paying ??= this.#pay().finally(() => { this.#paying = undefined })
    await this.#paying
  }

  #owe (namespace: string, what: Invalidation): void {
    // No stamp can be had, so everything counts as older until the backend knows of it.
    const marker = this.#options.ledger.record(namespace, what, Number.MAX_VALUE)
    this.#invalidations.add({ namespace, what, marker })
  }

  /** An outage may last: what is too much to be remembered one by one is owed as all of its namespace. */
  #bound (): void {
    if (this.#keys.size + this.#invalidations.size <= BOUND) return
    const namespaces = new Set([...this.#keys.values(), ...this.#invalidations].map(({ namespace }) => namespace))
    for (const { namespace, marker } of this.#invalidations) this.#options.ledger.withdraw(namespace, marker)
    this.#keys.clear()
    this.#invalidations.clear()
    for (const namespace of namespaces) this.#owe(namespace, { all: true })
  }

  async #pay (): Promise<void> {
    const { backend, ledger, inFlight, onPaid } = this.#options
    for (const [name, owed] of this.#keys) {
      try {
        await backend.delete(owed.namespace, owed.key)
        // A read under way may be about to bring the value that has just gone.
        inFlight.supersede(name)
        if (this.#keys.get(name) === owed) this.#keys.delete(name)
      } catch {
        return // Still away: the next round tries again.
      }
    }
    for (const owed of this.#invalidations) {
      try {
        const stamp = await backend.invalidate(owed.namespace, owed.what)
        const inForce = await backend.inForce()
        // First the provisional marker goes: being the newest of all, it leaves no room for others of its tag.
        ledger.withdraw(owed.namespace, owed.marker)
        onPaid(owed.namespace, owed.what, stamp, inForce)
        this.#invalidations.delete(owed)
      } catch {
        return // The same.
      }
    }
  }
}
