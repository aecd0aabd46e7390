import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Health } from '../services/health.js'
import { Lately } from '../services/lately.js'
import type { Sample } from '../services/metrics.js'
import type {} from './metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The parts of the service: a plugin that opens one adds its check here. */
    health: Health
  }
}

/** Every part there is: those that no plugin gives a check are listed as disabled. */
const PARTS = ['postgres', 'redis', 'memcached', 'cache', 'file', 'journal', 'events', 'coherence']

/** Decorates the instance with `health`: ready when `onReady` is through, and no longer from the beginning of its close. */
export default fp(async function health (app) {
  const health = new Health()
  for (const part of PARTS) health.disable(part)
  app.decorate('health', health)
  const lately = new Lately(async () => await health.readiness(), { lifetime: 0 })
  const { metrics } = app as { metrics?: FastifyInstance['metrics'] }
  metrics?.addAsker(async () => {
    await lately.look()
    return samples(health)
  })
  app.addHook('onReady', async () => health.started())
  app.addHook('preClose', async () => health.stopping())
}, { name: 'health', fastify: '5.x' })

function samples ({ known: { isReady, parts } }: Health): Sample[] {
  return [
    { name: 'larder_ready', help: '1 while requests should be sent here: not while the process starts or ends', type: 'gauge', value: isReady ? 1 : 0, across: 'lowest' },
    ...[...parts].map(([part, { status, required }]): Sample => ({
      name: 'larder_health_up', help: '1 while a part of the service works; without one that is required it is degraded', type: 'gauge', labels: { part, required: String(required) }, value: status === 'up' ? 1 : 0, across: 'lowest'
    }))
  ]
}
