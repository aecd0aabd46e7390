import type { Caller } from './caller.js'
import { NotLoadedError } from './errors.js'
import type { ReadingStatus } from './reading.js'

/**
 * Computes the values of several keys: by key, or in the order of the keys it was given. An Error in the place of a value fails that
 * key alone, and so does a key that is left out (NotLoadedError); what has no value is null, which is kept as any value is.
 */
export type ManyLoader<T> = (keys: string[]) => Promise<ManyLoaded<T>> | ManyLoaded<T>
export type ManyLoaded<T> = ReadonlyMap<string, T | Error> | readonly (T | Error)[] | Readonly<Record<string, T | Error>>

/** What became of one key. */
export type ManyOutcome<T> =
  | { key: string, status: ReadingStatus, value: T }
  | { key: string, status: 'failed', error: unknown }

interface Request<T> { key: string, waiting: Caller | undefined, resolve: (value: T) => void, reject: (error: unknown) => void }

/** Gathers the keys that turn out to be this call's to load, and loads them in one call as soon as that is known of all of them. */
export class Batch<T> {
  #load: ManyLoader<T>
  #undecided: Set<string>
  #requests: Request<T>[] = []
  #caller: Caller | undefined

  /**
   * @param keys that may be this call's to load
   * @param caller whose call it is
   */
  constructor (keys: readonly string[], load: ManyLoader<T>, caller?: Caller) {
    this.#load = load
    this.#caller = caller
    this.#undecided = new Set(keys)
  }

  /** It is this call's. When the others have been loaded already, it is loaded with whatever comes in the same turn. @param waiting for it */
  async request (key: string, waiting?: Caller): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      this.#requests.push({ key, waiting, resolve, reject })
      if (this.#undecided.delete(key)) this.#flushWhenDecided()
      else if (this.#requests.length === 1) setImmediate(() => { this.#flush() })
    })
  }

  /** It is loaded by someone else, or not at all; or later. */
  excuse (key: string): void {
    if (this.#undecided.delete(key)) this.#flushWhenDecided()
  }

  #flushWhenDecided (): void { if (this.#undecided.size === 0) this.#flush() }

  #flush (): void {
    const requests = this.#caller?.signal?.aborted === true ? this.#requests.filter(isWanted) : this.#requests
    this.#requests = []
    if (requests.length === 0) return
    this.#loadAll(requests).catch((error: unknown) => { for (const { reject } of requests) reject(error) })
  }

  async #loadAll (requests: Request<T>[]): Promise<void> {
    const keys = requests.map(({ key }) => key)
    const loaded = await this.#load([...keys])
    for (const [at, { key, resolve, reject }] of requests.entries()) {
      const value = valueIn(loaded, key, at)
      if (value === undefined) reject(new NotLoadedError(key))
      else if (value instanceof Error) reject(value)
      else resolve(value)
    }
  }
}

/** The caller has left; who else waits for the key is answered. */
function isWanted<T> ({ waiting, reject }: Request<T>): boolean {
  if (waiting?.signal?.aborted !== true) return true
  reject(waiting.signal.reason)
  return false
}

function valueIn<T> (loaded: ManyLoaded<T>, key: string, at: number): T | Error | undefined {
  if (loaded instanceof Map) return loaded.get(key) as T | Error | undefined
  if (Array.isArray(loaded)) return loaded[at] as T | Error | undefined
  return Object.hasOwn(loaded, key) ? (loaded as Record<string, T | Error>)[key] : undefined
}
