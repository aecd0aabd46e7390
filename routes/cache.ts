import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import administration from './cache/administration.js'
import batches from './cache/batches.js'
import entries from './cache/entries.js'
import invalidation from './cache/invalidation.js'

export interface CacheRoutesOptions {
  /** Bytes that a key may have. */
  maxKeyLength: number
}

/** The cache API: entries one by one, many at once, what there is and how it is set up, and dropping what is no longer true. */
const cacheRoutes: FastifyPluginAsyncTypebox<CacheRoutesOptions> = async (app, { maxKeyLength }) => {
  await app.register(entries, { maxKeyLength })
  await app.register(batches, { maxKeyLength })
  await app.register(administration)
  await app.register(invalidation)
}

export default cacheRoutes
