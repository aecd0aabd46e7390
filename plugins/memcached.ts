import fp from 'fastify-plugin'
import { MemcachedClient } from '../services/cache/backends/memcached/client.js'
import type {} from './health.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** One connection to memcached, for the cache. */
    memcached: MemcachedClient
  }
}

export interface MemcachedPluginOptions {
  /** `memcached://host:port`. */
  url: string
  /** Whether the service is unhealthy without it. */
  required: boolean
}

/** How long the start waits for memcached, in milliseconds; then the service runs without it until it comes. */
const START_PATIENCE = 2000

/** Decorates the instance with `memcached`. Requests fail at once while the server is away. */
export default fp<MemcachedPluginOptions>(async function memcached (app, { url, required }) {
  let isAway = false
  const client = new MemcachedClient({
    url,
    onState: (isReady, reason) => {
      if (isReady && isAway) app.log.info('memcached is back')
      if (!isReady && !isAway) app.log.warn({ error: reason?.message }, 'memcached is away: what needs it fails fast, the rest goes on without')
      isAway = !isReady
    }
  })
  app.addHook('onClose', async () => { client.close() })
  await client.ready(START_PATIENCE)
  app.decorate('memcached', client)
  app.health.add('memcached', async () => { await client.ping() }, { required })
}, { name: 'memcached', fastify: '5.x', dependencies: ['health'] })
