import { Sequences } from './sequences.js'
import { type Caller, throwIfGone, unlessGone } from './caller.js'
import type { Now } from './clock.js'
import { decode, encode } from './encoding.js'
import type { StoredEntry } from './entry.js'
import { PreconditionFailedError, WrongTypeError } from './errors.js'
import { isOutage } from './faults.js'
import { nameOf } from './in-flight.js'
import type { NewEntries } from './new-entries.js'
import type { Store, WriteOutcome } from './stores/store.js'

/** Tries of a read-modify-write against other processes before it gives up. */
const TRIES = 100

export interface IncrementsOptions {
  store: Store
  now: Now
  entries: NewEntries
}

/** Additions to numbers. Those to one key wait for each other, so that they contend with other processes only. */
export class Increments {
  #options: IncrementsOptions
  #sequences = new Sequences()

  constructor (options: IncrementsOptions) { this.#options = options }

  /** See `Cache.increment`. Answers the entry as it was stored, and how that went. */
  async add (namespace: string, key: string, by: number, ttl: number | undefined, caller?: Caller): Promise<{ entry: StoredEntry, outcome: WriteOutcome }> {
    let isWaiting = false
    let hasBegun = false
    // Else each would find out by itself, one after the other, that nobody answers.
    const adding = this.#sequences.take(nameOf(namespace, key), async () => {
      if (isWaiting) throwIfGone(caller)
      hasBegun = true
      return await this.#addOnce(namespace, key, by, ttl, caller)
    }, isOutage)
    isWaiting = !hasBegun
    return isWaiting ? await unlessGone(adding, caller, () => !hasBegun) : await adding
  }

  async #addOnce (namespace: string, key: string, by: number, ttl: number | undefined, caller: Caller | undefined): Promise<{ entry: StoredEntry, outcome: WriteOutcome }> {
    const { store, now, entries } = this.#options
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) throwIfGone(caller)
      const current = await store.latest(namespace, key, caller)
      const fresh = current !== undefined && current.expiresAt > now() ? current : undefined
      const sum = (fresh === undefined ? 0 : numberIn(fresh)) + by
      if (!Number.isFinite(sum)) throw new WrongTypeError(`The sum under "${key}" is too large for a number.`)
      const entry = fresh === undefined
        ? entries.make(namespace, key, { value: encode(sum), dataType: 'number', ttl })
        : entries.next(fresh, encode(sum), ttl)
      const outcome = await store.set(entry, fresh === undefined ? { absent: true } : { version: fresh.version }, caller)
      if (typeof outcome === 'object') return { entry, outcome }
    }
    throw new PreconditionFailedError(key)
  }
}

function numberIn ({ key, value, dataType }: StoredEntry): number {
  const number = decode(value)
  if (typeof number === 'number' && (dataType === 'number' || dataType === 'json')) return number
  throw new WrongTypeError(`The value under "${key}" is no number: increment takes keys that hold one, or none.`)
}
