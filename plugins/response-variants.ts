import { Ready } from '../services/cache/get-or-set.js'
import type { Reading } from '../services/cache/reading.js'
import type { ResponseStore } from '../services/response-cache/response-store.js'
import { encodeResponse, type Head, NOT_SHARED } from '../services/response-cache/stored-response.js'
import type { Asked } from './response-asked.js'

/** The variants of a response: one is stored for each set of values of the headers that it varies by, and under its own name what these are. */
export class Variants {
  readonly #store: ResponseStore
  readonly #asked: Asked
  /** The variant that is stored once it is known whether the list of what it varies by is. */
  #pending: { settle: (isListed: boolean) => void, reading: Promise<Reading<unknown> | undefined> } | undefined

  constructor (store: ResponseStore, asked: Asked) {
    this.#store = store
    this.#asked = asked
  }

  /**
   * Keeps a response that varies by headers which were not known to matter. It is stored under a name with their values, and what it varies by
   * under its own. Whatever is invalidated from the start of this load until that list is stored keeps the list out, and the variant with
   * it; the variant's own load has begun by then, and takes over.
   */
  async keep (response: Ready, others: readonly string[], isBackground: boolean): Promise<Ready> {
    const asked = this.#asked
    const names = [...asked.variants ?? [], ...others].sort()
    if (asked.variants !== undefined) {
      await this.list(asked.base, names, response.ttl, true)
      return new Ready(NOT_SHARED, { isKept: false })
    }
    if (!isBackground) {
      const tags = [...new Set([...asked.tags, asked.path, asked.name])]
      asked.variants = names
      await this.#begin(response, tags)
    }
    return listOf(names, response.ttl)
  }

  /** Keeps what the responses under a name vary by. @param ttl seconds */
  async list (key: string, names: readonly string[], ttl: number, refresh = false): Promise<void> {
    const { path, name } = this.#asked
    const tags = key === path ? [] : [path, name]
    await this.#store.cache.read(key, () => listOf(names, ttl), { refresh, tags, lease: 0 })
  }

  /** Stores the variant that waits for its list, or leaves it. Undefined where there is none. */
  async settled (isListed: boolean): Promise<Reading<unknown> | undefined> {
    const pending = this.#pending
    this.#pending = undefined
    pending?.settle(isListed)
    return await pending?.reading
  }

  async #begin (response: Ready, tags: readonly string[]): Promise<void> {
    let settle: (isListed: boolean) => void = () => {}
    const isListed = new Promise<boolean>((resolve) => { settle = resolve })
    let isOwn = false
    await new Promise<void>((resolve) => {
      const reading = Promise.resolve(this.#store.cache.read(this.#asked.variantKey, async () => {
        isOwn = true
        resolve()
        return await isListed ? response : new Ready(response.encoded, { isKept: false })
      }, { refresh: true, tags })).then((reading) => isOwn ? reading : undefined)
      // Where another is being made under this name, that one is kept.
      reading.then(() => { resolve() }, () => { resolve() })
      this.#pending = { settle, reading }
    })
  }
}

/** What a stored response varies by, in its place. */
function listOf (names: readonly string[], ttl: number): Ready {
  const head: Head = { status: 0, headers: {}, form: 'none', variants: names }
  return new Ready(encodeResponse(head, undefined), { ttl })
}
