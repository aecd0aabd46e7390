import AjvCompiler from '@fastify/ajv-compiler'
import Fastify, { LogController, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { LineSink } from '../../services/access-log.js'
import accessLog from '../../plugins/access-log.js'
import bodyLimits from '../../plugins/body-limits.js'
import components from '../../plugins/components.js'
import errors, { clientErrorHandler, frameworkErrors } from '../../plugins/errors.js'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import openapi from '../../plugins/openapi.js'
import requests, { requestId } from '../../plugins/requests.js'
import scopes from '../../plugins/scopes.js'
import security from '../../plugins/security.js'
import assets from '../../plugins/static.js'
import docs from '../../routes/docs.js'
import healthRoutes from '../../routes/health.js'
import home from '../../routes/home.js'
import metricsRoutes from '../../routes/metrics.js'
import problems from '../../routes/problems.js'

export interface BareOptions {
  metrics?: boolean
  logTo?: LineSink
  allowedOrigins?: string[]
  logger?: FastifyServerOptions['logger']
}

/** A bare instance with the HTTP frame and its own routes, and nothing behind it. Add routes before it is ready. */
export async function bare (options: BareOptions = {}): Promise<FastifyInstance> {
  const build = AjvCompiler()
  const app = Fastify({
    logger: options.logger ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    frameworkErrors,
    clientErrorHandler,
    requestTimeout: 1000,
    return503OnClosing: false,
    http: { headersTimeout: 500, connectionsCheckingInterval: 100, requireHostHeader: false },
    schemaController: {
      compilersFactory: {
        buildValidator: (schemas: Parameters<typeof build>[0]) => {
          const body = build(schemas, { customOptions: { coerceTypes: false, removeAdditional: false } })
          const others = build(schemas, { customOptions: { coerceTypes: true, removeAdditional: false } })
          return (part: Parameters<typeof body>[0]) => ((part as { httpPart?: string }).httpPart === 'body' ? body : others)(part)
        }
      }
    },
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: true }
  } as FastifyServerOptions) as FastifyInstance
  await app.register(components)
  await app.register(metrics, { enabled: options.metrics ?? true })
  await app.register(accessLog, options.logTo === undefined ? { enabled: false } : { enabled: true, sink: options.logTo })
  await app.register(requests)
  await app.register(errors)
  await app.register(bodyLimits)
  await app.register(scopes)
  await app.register(security, { allowedOrigins: options.allowedOrigins ?? [] })
  await app.register(health)
  await app.register(openapi)
  await app.register(assets)
  await app.register(home)
  await app.register(healthRoutes, { prefix: '/health' })
  await app.register(metricsRoutes, { prefix: '/metrics' })
  await app.register(problems, { prefix: '/problems' })
  await app.register(docs)
  return app
}
