import { sampleKeys } from '../sample-keys.js'
import type { Consumer } from './consumer.js'
import type { Event } from './event.js'

/** The part of a cache that is needed to drop what is no longer true. */
export interface RefreshedCache {
  forget (...keys: string[]): Promise<void>
  outdate (what: { tags: string[] }): Promise<void>
}

/**
 * Drops from the cache what an event has made untrue. Whoever made the change does so at once as well; this is for changes whose maker
 * ended between the commit and the cache.
 */
export class CacheConsumer implements Consumer {
  readonly name = 'cache'
  /** Whoever made the change has dropped it long before, or never will. */
  readonly delay = 2000
  readonly #cache: RefreshedCache

  constructor (cache: RefreshedCache) {
    this.#cache = cache
  }

  handles (type: string): boolean {
    return /^(?:item|product|recipe|user|post)\./.test(type)
  }

  async handle ({ type, subject }: Event): Promise<void> {
    const id = subject.slice(subject.indexOf('/') + 1)
    const { items, products, recipes, users, posts } = sampleKeys
    switch (type.slice(0, type.indexOf('.'))) {
      case 'item': return await this.#cache.forget(items.list, items.one(id))
      case 'recipe': return await this.#cache.forget(recipes.list, recipes.one(id))
      case 'user': return await this.#drop(users.one(id))
      case 'post': return await this.#drop(posts.list)
      case 'product':
        await this.#cache.forget(products.list, products.one(id))
        await this.#cache.outdate({ tags: [recipes.tag] })
    }
  }

  /** A stored response, with its queries and variants, which carry its key as a tag. */
  async #drop (key: string): Promise<void> {
    await this.#cache.forget(key)
    await this.#cache.outdate({ tags: [key] })
  }
}
