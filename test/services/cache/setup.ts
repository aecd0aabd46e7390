import { Cache } from '../../../services/cache/cache.js'
import type { NewEntry } from '../../../services/cache/entry.js'
import { decode, encode } from '../../../services/cache/encoding.js'
import { DEFAULT_LIMITS, type Limits } from '../../../services/cache/limits.js'
import { LocalStore } from '../../../services/cache/stores/local-store.js'

/** A clock that stands still until it is moved. */
export class ManualClock {
  at = Date.UTC(2030, 0, 1)
  readonly now = (): number => this.at
  /** @param seconds how far */
  advance (seconds: number): void { this.at += seconds * 1000 }
}

/** A cache over memory alone. */
export function localCache (t: { after: (end: () => Promise<void>) => unknown }, changes: Partial<Limits> = {}) {
  const clock = new ManualClock()
  const limits = { ...DEFAULT_LIMITS, ...changes }
  const store = new LocalStore({ now: clock.now, limits })
  const cache = new Cache({ store, now: clock.now, limits, namespace: 'app' })
  t.after(async () => { await cache.close() })
  return { clock, store, cache }
}

/** A promise that is settled from outside. */
export class Gate<T = void> {
  open!: (value: T) => void
  fail!: (error: Error) => void
  readonly promise = new Promise<T>((resolve, reject) => {
    this.open = resolve
    this.fail = reject
  })

  constructor () {
    // That nobody waits (any more) when it fails is part of what is tested.
    this.promise.catch(() => {})
  }
}

/** Lets everything run that does not wait for the outside. */
export async function settled (): Promise<void> { await new Promise((resolve) => { setImmediate(resolve) }) }

/** An entry for `Cache.set`. */
export const entryOf = (value: unknown, options: Partial<NewEntry> = {}): NewEntry => ({ value: encode(value), dataType: 'json', ...options })

/** What the cache holds under the key, in this process's memory or behind it; undefined when nothing. Counts no read. */
export async function valueIn (cache: Cache, key: string, namespace = 'default'): Promise<unknown> {
  const found = await cache.peek(namespace, key)
  return found === undefined ? undefined : decode(found.value)
}

/** A loader that begins, and ends when it is told to. */
export function heldLoader<T> (value: T): { loader: () => Promise<T>, begun: Promise<void>, release: () => void } {
  const [begun, released] = [new Gate(), new Gate()]
  const loader = async (): Promise<T> => {
    begun.open()
    await released.promise
    return value
  }
  return { loader, begun: begun.promise, release: () => { released.open() } }
}
