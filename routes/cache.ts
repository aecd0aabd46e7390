import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import administration from './cache/administration.js'
import analytics from './cache/analytics.js'
import batches from './cache/batches.js'
import entries from './cache/entries.js'
import invalidation from './cache/invalidation.js'
import transfer, { type TransferRoutesOptions } from './cache/transfer.js'

/** What the API is told of the configuration. */
export type CacheRoutesOptions = TransferRoutesOptions

/** The cache API: entries one by one, many at once, what there is and how it is set up, and dropping what is no longer true. */
const cacheRoutes: FastifyPluginAsyncTypebox<CacheRoutesOptions> = async (app, { maxKeyLength, maxImportSize, spoolDirectory }) => {
  // Not the options as they came: they hold this module's own prefix.
  const options = { maxKeyLength, maxImportSize, spoolDirectory }
  await app.register(entries, options)
  await app.register(batches, options)
  await app.register(administration)
  await app.register(analytics)
  await app.register(invalidation)
  await app.register(transfer, options)
}

export default cacheRoutes
