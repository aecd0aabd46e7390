import fp from 'fastify-plugin'
import { Health } from '../services/health.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The parts of the service: a plugin that opens one adds its check here. */
    health: Health
  }
}

/** Every part there is: those that no plugin gives a check are listed as disabled. */
const PARTS = ['postgres', 'redis', 'memcached', 'cache', 'file', 'journal', 'events']

/** Decorates the instance with `health`: ready when `onReady` is through, and no longer from the beginning of its close. */
export default fp(async function health (app) {
  const health = new Health()
  for (const part of PARTS) health.disable(part)
  app.decorate('health', health)
  app.addHook('onReady', async () => health.started())
  app.addHook('preClose', async () => health.stopping())
}, { name: 'health', fastify: '5.x' })
