import type { Cache } from '../cache/cache.js'
import { EntityTags } from '../http-cache/entity-tags.js'
import type { ResponseCounts } from './counts.js'

/** Milliseconds for which responses of a name go past the cache after one that was not for others, and how many names are remembered. */
const APART = 10_000
const NAMES = 1000

/** The stored responses of an application's routes, in the application's own cache. */
export class ResponseStore {
  /** Where they are kept, beside whatever else the application has in it. */
  readonly cache: Cache
  /** Of this process. */
  readonly counts: ResponseCounts
  readonly tags = new EntityTags()
  /** Names whose responses are not kept, and until when: nobody waits there for a response that would not be for him ("hit for miss"). */
  readonly #apart = new Map<string, number>()

  constructor (cache: Cache, counts: ResponseCounts) {
    this.cache = cache
    this.counts = counts
  }

  /**
   * Drops responses: by a key such as `GET:/api/posts/`, with all of its variants and queries, or by a tag. The cache being down is
   * no error: it is told later.
   */
  async drop (...names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const keys = names.filter((name) => name.startsWith('GET:/'))
    // What carries a key as its tag is a variant of it.
    await Promise.all([keys.length === 0 ? undefined : this.cache.forget(...keys), this.cache.outdate({ tags: [...names] })])
  }

  /** Drops what is under exactly this key, in the same way: a response with its variants and queries, any other entry of the namespace alone. */
  async forget (key: string): Promise<void> {
    if (key.startsWith('GET:/')) await this.drop(key)
    else await this.cache.forget(key)
  }

  /** Whether anything is stored under the key. @throws BackendUnavailableError */
  async has (key: string): Promise<boolean> {
    return await this.cache.peek(this.cache.namespace, key) !== undefined
  }

  /** Stored responses, variants included. @throws BackendUnavailableError */
  async total (): Promise<number> {
    return (await this.cache.list(this.cache.namespace, { pattern: 'GET:/*', limit: 1 })).total
  }

  /** Whether a response under the name was lately not for others. */
  isApart (name: string): boolean {
    if (this.#apart.size === 0) return false
    const until = this.#apart.get(name)
    if (until === undefined) return false
    if (until > performance.now()) return true
    this.#apart.delete(name)
    return false
  }

  /** Has the responses of a name go past the cache for ten seconds. Of a thousand names the latest are remembered. */
  setApart (name: string): void {
    this.#apart.delete(name)
    if (this.#apart.size >= NAMES) this.#apart.delete(this.#apart.keys().next().value as string)
    this.#apart.set(name, performance.now() + APART)
  }
}
