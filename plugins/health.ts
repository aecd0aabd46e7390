import fp from 'fastify-plugin'
import { Health } from '../services/health.js'
import { probeMemcached } from '../services/memcached-probe.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The parts of the service: a plugin that opens one adds its check here. */
    health: Health
  }
}

export interface HealthPluginOptions {
  memcachedUrl?: string | undefined
}

/** Every part there is: those that no plugin gives a check are listed as disabled. */
const PARTS = ['postgres', 'redis', 'memcached', 'cache', 'file', 'events']

/** Decorates the instance with `health`: ready when `onReady` is through, and no longer from the beginning of its close. */
export default fp<HealthPluginOptions>(async function health (app, { memcachedUrl }) {
  const health = new Health()
  for (const part of PARTS) health.disable(part)
  // Nothing is lost without it: the entries of other backends stay reachable.
  if (memcachedUrl !== undefined) health.add('memcached', () => probeMemcached(memcachedUrl), { required: false })
  app.decorate('health', health)
  app.addHook('onReady', async () => health.started())
  app.addHook('preClose', async () => health.stopping())
}, { name: 'health', fastify: '5.x' })
