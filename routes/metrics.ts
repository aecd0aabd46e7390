import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/metrics.js'
import { problems } from '../schemas/common.js'

/** What Prometheus scrapes. Prefix: `/metrics`. Where metrics are off there is nothing here. */
const metrics: FastifyPluginAsyncTypebox = async (app) => {
  if (!app.metrics.enabled) return
  app.get('', {
    config: { scope: 'metrics:read', touches: 'everything' },
    schema: {
      operationId: 'getMetrics',
      tags: ['Observability'],
      summary: 'Counters, gauges and latencies as Prometheus text',
      description: 'Where several processes serve together (`WORKERS`): counters, histograms and gauges summed over them (of breakers, lags and delays the ' +
        'highest), what Node tells of a process once for each, under the label `worker`. What a process had counted that has ended stays in the sums.',
      response: {
        200: {
          description: 'Prometheus text, version 0.0.4',
          content: {
            'text/plain': {
              schema: Type.String(),
              example: 'larder_http_request_duration_seconds_count{method="GET",route="/health",status="2xx"} 12\n'
            }
          }
        },
        ...problems(503)
      }
    }
  }, async (_request, reply) => {
    return reply.type(app.metrics.contentType).header('cache-control', 'no-store').send(await app.metricsText())
  })
}

export default metrics
