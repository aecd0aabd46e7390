import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answer, ref } from '../schemas/common.js'
import { HealthReply, LivenessReply, ReadinessReply } from '../schemas/health.js'

/** How the service is. Prefix: `/health`. Probes have no rate limit: who is turned away would restart the process. */
const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get('', {
    config: { scope: 'public', priority: 'health', rateLimit: false },
    schema: {
      operationId: 'getHealth',
      tags: ['Health'],
      summary: 'Whether every required part works',
      response: { 200: ref(HealthReply), 503: answer(HealthReply, 'A required part is down', { status: 'unhealthy' }) }
    }
  }, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    if (await app.health.healthy()) return { status: 'healthy' as const }
    return reply.code(503).header('retry-after', '1').send({ status: 'unhealthy' })
  })

  app.get('/live', {
    config: { scope: 'public', priority: 'health', rateLimit: false },
    schema: {
      operationId: 'getLiveness',
      tags: ['Health'],
      summary: 'Whether the process answers; when it does not, restart it',
      response: { 200: ref(LivenessReply) }
    }
  }, (_request, reply) => {
    reply.header('cache-control', 'no-store').send({ status: 'alive' })
  })

  app.get('/ready', {
    config: { scope: 'public', priority: 'health', rateLimit: false },
    schema: {
      operationId: 'getReadiness',
      tags: ['Health'],
      summary: 'Whether requests should be sent here, and how each part is',
      description: 'Not while the service starts, and not from the moment on when it is told to end. While a required part is down it is `degraded`, and answers 200: what is cached is served on. Whoever wants to know whether everything works asks `/health`.',
      response: {
        200: ref(ReadinessReply),
        503: answer(ReadinessReply, 'Starting or stopping', {
          status: 'stopping',
          parts: { postgres: { status: 'up', required: true, latency: 0.0012 } }
        })
      }
    }
  }, async (_request, reply) => {
    const readiness = await app.health.readiness()
    reply.header('cache-control', 'no-store')
    if (readiness.status === 'starting' || readiness.status === 'stopping') reply.code(503).header('retry-after', '1')
    return reply.send(readiness)
  })
}

export default health
