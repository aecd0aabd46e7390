import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import AjvCompiler from '@fastify/ajv-compiler'
import Fastify, { LogController, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Config } from './config.js'
import { initialSettings } from './config/initial-settings.js'
import accessLog from './plugins/access-log.js'
import allowances from './plugins/allowances.js'
import apiKeys from './plugins/api-keys.js'
import audit from './plugins/audit.js'
import bodyLimits from './plugins/body-limits.js'
import cache, { type AtRestOptions } from './plugins/cache.js'
import cacheDatabase from './plugins/cache-database.js'
import coherence from './plugins/coherence.js'
import components from './plugins/components.js'
import configStore from './plugins/config-store.js'
import credentials from './plugins/credentials.js'
import deadlines from './plugins/deadlines.js'
import errors, { clientErrorHandler, frameworkErrors } from './plugins/errors.js'
import eventStreams from './plugins/event-streams.js'
import events from './plugins/events.js'
import gatekeeper from './plugins/gatekeeper.js'
import health from './plugins/health.js'
import idempotency from './plugins/idempotency.js'
import live from './plugins/live.js'
import memcached from './plugins/memcached.js'
import metrics from './plugins/metrics.js'
import openapi from './plugins/openapi.js'
import overload from './plugins/overload.js'
import postgres from './plugins/postgres.js'
import rateLimit from './plugins/rate-limit.js'
import redis from './plugins/redis.js'
import requests, { requestId } from './plugins/requests.js'
import responseCache from './plugins/response-cache.js'
import retry from './plugins/retry.js'
import scopes from './plugins/scopes.js'
import security from './plugins/security.js'
import { securityHeaders } from './plugins/security-headers.js'
import settings from './plugins/settings.js'
import assets from './plugins/static.js'
import together from './plugins/together.js'
import tracePlugin, { openTracing } from './plugins/tracing.js'
import valetKey from './plugins/valet-key.js'
import webhooks from './plugins/webhooks.js'
import routes from './routes/index.js'
import { fittingLimits } from './services/quotas.js'
import type { Others } from './services/processes/subordinate.js'
import type { Tracing } from './services/tracing/tracing.js'

export interface BuildOptions {
  /** Replaces the log, or parts of its options; `false` is silent. */
  logger?: FastifyServerOptions['logger']
  /** The processes that serve together with this one. Default: it serves alone. */
  others?: Others
}

/** The longest key that a path can carry, in characters after decoding; the routes' own limit is lower. */
const MAX_PARAMETER_LENGTH = 1024

/**
 * The whole service, ready to listen or to be injected into, and never listening by itself. Every Fastify option is
 * decided here, so that tests run with those of production.
 */
export async function buildApp (config: Config, options: BuildOptions = {}): Promise<FastifyInstance> {
  const tracing = config.tracing && await openTracing(config.tracing)
  const app = create(config, options, tracing)
  try {
    await compose(app, config, options, tracing)
    return app
  } catch (error) {
    await app.close()
    throw error
  }
}

/** In this order, because a plugin that comes later leans on those before it. */
async function compose (app: FastifyInstance, config: Config, { logger, others }: BuildOptions, tracing: Tracing | undefined): Promise<void> {
  await app.register(tracePlugin, { tracing }) // sees hooks and routes that come after it
  // What holds for every route, and so comes before the first.
  await app.register(components) // schemas name each other
  await app.register(scopes) // no route without a scope
  const totals = others && (async () => await others.totals())
  await app.register(metrics, { enabled: config.metrics, totals })
  const sink = typeof logger === 'object' ? logger.stream : undefined
  await app.register(accessLog, { enabled: config.accessLog && /info|debug|trace/.test(app.log.level), ...(sink && { sink }), ...(tracing && { trace: () => tracing.fields() }) })
  const constantHeaders = await securityHeaders({ tls: config.tls !== undefined })
  await app.register(deadlines) // for whom services are asked, and until when
  await app.register(requests, { constantHeaders }) // counts and logs through the two above
  await app.register(errors)
  await app.register(gatekeeper, config.access) // before the first route, and before any body is read
  await app.register(overload, config.overload) // before anything else is asked
  await app.register(rateLimit, { ...config.rateLimits, deadline: config.cache.deadline }) // once it is known who asks; over Redis where there is one
  await app.register(idempotency, { secrets: config.valet.secrets, dataDir: config.dataDir }) // before uses are counted: a repetition is none
  await app.register(allowances) // what some credentials have only so much of
  await app.register(bodyLimits)
  await app.register(eventStreams)
  await app.register(security, { allowedOrigins: config.allowedOrigins })
  await app.register(openapi) // describes each route as it comes
  await app.register(assets)

  // What the service stands on; each adds its part to the health.
  await app.register(health)
  await app.register(retry) // what those below try again
  const { databaseUrl, dataDir, sampleData } = config
  await app.register(postgres, { databaseUrl, dataDir, sampleData })
  await app.register(configStore, { initial: initialSettings(config), shared: databaseUrl !== undefined })
  const { backend: defaultBackend, fileSync, durableTier: tier, writeBehind, ...limits } = config.cache
  if (config.redis) await app.register(redis, { ...config.redis, required: defaultBackend === 'redis' })
  await app.register(credentials, { shared: databaseUrl !== undefined }) // hears of changes over Redis where there is one
  await app.register(apiKeys)
  await app.register(valetKey, { ...config.valet, dataDir, shared: databaseUrl !== undefined })
  await app.register(audit, { retention: config.auditRetention }) // hears of every route after it
  if (config.memcachedUrl !== undefined) await app.register(memcached, { url: config.memcachedUrl, required: defaultBackend === 'memcached' })
  await app.register(cacheDatabase, { databaseUrl })
  const isAlone = config.workers === 1
  // By lower limits than those, or without the quotas, it would give up what it holds.
  const file = isAlone && { folder: join(dataDir, 'cache'), sync: fileSync, limits: fittingLimits(app.configStore.all(), 'file') }
  const durable = isAlone && { folder: join(dataDir, 'journal'), tier, files: join(dataDir, 'durable'), bounds: writeBehind }
  await app.register(cache, { defaultBackend, limits, isAlone, ...(file && { file }), ...(durable && { durable }), atRest: storedAtRest(config, app.configStore), deadline: config.cache.deadline, timed: config.performanceTracking }) // over Redis where there is one
  await app.register(coherence, { shared: databaseUrl !== undefined })
  await app.register(responseCache) // for routes that say so
  await app.register(together, { others })
  await app.register(settings, { initial: initialSettings(config) }) // what is stored wins over the environment
  await app.register(events, { worker: config.worker, claimAfter: config.eventClaimAfter * 1000 })
  await app.register(webhooks, { ...config.webhooks, worker: config.worker, secrets: config.valet.secrets, dataDir: config.dataDir })
  await app.register(live, { totals }) // reads what all of the above count

  const { maxKeyLength, maxImportSize } = config.cache
  await app.register(routes, { environment: config.environment, cache: { maxKeyLength, maxImportSize, spoolDirectory: join(dataDir, 'spool') } })
}

/** What an entry that an earlier life of the process has left is written with at once. */
function storedAtRest ({ atRest: { serialization, keys } }: Config, settings: FastifyInstance['configStore']): AtRestOptions {
  const of: AtRestOptions['of'] = (backend) => ({
    compression: settings.get(`cache.${backend}.compression_enabled`), encryption: settings.get(`cache.${backend}.encryption_enabled`)
  })
  return { serialization, of, ...(keys && { keys }) }
}

function create (config: Config, { logger }: BuildOptions, tracing: Tracing | undefined): FastifyInstance {
  // Milliseconds. Node's defaults leave a connection that sends slowly open for minutes, or for ever.
  const http = {
    headersTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    requireHostHeader: false // plugins/requests.ts refuses it, with a problem instead of Node's empty answer
  }
  const options: FastifyServerOptions = {
    logger: logger === undefined || typeof logger === 'object' ? { ...log(config), ...(tracing && { mixin: () => tracing.fields() ?? {} }), ...logger } : logger,
    logController: new LogController({ disableRequestLogging: true }), // plugins/access-log.ts does it for a third of the price
    pluginTimeout: 150_000, // a start waits for another process's migration, or for a machine that is busy
    requestTimeout: 30_000,
    keepAliveTimeout: 72_000, // longer than the 60 s after which load balancers drop an idle connection
    genReqId: requestId,
    requestIdHeader: false, // requestId reads it, and only takes a sane one
    frameworkErrors,
    clientErrorHandler,
    bodyLimit: 1024 * 1024,
    trustProxy: config.trustedProxies.length === 0 ? false : config.trustedProxies,
    return503OnClosing: false, // /health/ready says it, in the form of every other answer
    forceCloseConnections: 'idle', // requests in flight are finished, kept-alive connections are not waited for
    schemaController: { compilersFactory: { buildValidator: validators() } },
    routerOptions: {
      maxParamLength: MAX_PARAMETER_LENGTH,
      ignoreTrailingSlash: true,
      caseSensitive: true
    }
  }
  if (config.tls === undefined) return Fastify({ ...options, http })
  const { certFile, keyFile } = config.tls
  const https = { ...http, cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' as const }
  return Fastify({ ...options, https } as object)
}

/** The log of a process that serves nobody itself. */
export function openLog (config: Config): FastifyInstance['log'] {
  return Fastify({ logger: log(config) }).log
}

/** What may hold a credential never reaches the log. */
function log ({ logLevel }: Config) {
  const headers = ['authorization', 'cookie', 'x-api-key'].map((name) => `req.headers["${name}"]`)
  return { level: logLevel, redact: { paths: [...headers, '*.password', '*.token'], censor: '***' } }
}

/**
 * Text in a path, query string or header has no types, so it is converted to those of the schema. A JSON body has them:
 * converting there would turn a TTL of null into 0, which is for ever. Unknown fields are faults, never dropped.
 */
function validators () {
  const [body, others] = [validatorsOf({ coerceTypes: false }), validatorsOf({ coerceTypes: true })]
  return (components: Components) => {
    body.add(components)
    others.add(components)
    // What arrives is `{ schema, httpPart, … }`, whatever the type says.
    return (part: Part) => (part as { httpPart?: string }).httpPart === 'body' ? body.compile(part) : finite(others.compile(part))
  }
}

/** Text such as 1e400 becomes Infinity, which Ajv takes without looking at any further keyword: no maximum holds for it. */
function finite (validate: Validate): Validate {
  const checked: Validate = Object.assign((parameters: object) => {
    const passed = validate(parameters)
    const unbounded = Object.entries(parameters).filter(([, value]: [string, unknown]) => value === Infinity || value === -Infinity)
    checked.errors = passed && unbounded.length > 0
      ? unbounded.map(([name]) => ({ instancePath: `/${name}`, schemaPath: '#/type', keyword: 'type', params: { type: 'number' }, message: 'must be number' }))
      : validate.errors
    return passed && unbounded.length === 0
  }, validate)
  return checked
}

type Compile = ReturnType<ReturnType<typeof AjvCompiler>>
type Components = Parameters<ReturnType<typeof AjvCompiler>>[0]
type Part = Parameters<Compile>[0]
type Validate = ReturnType<Compile>

/** One Ajv for all contexts, since a component means the same in each: Fastify's own way would make one per context. */
function validatorsOf (options: { coerceTypes: boolean }) {
  const known = new Set<string>()
  let add = (_component: object) => {}
  const compile = AjvCompiler()({}, { customOptions: { ...options, removeAdditional: false }, onCreate: (ajv) => { add = (component) => ajv.addSchema(component) } })
  return {
    compile,
    add: (components: Components) => {
      for (const [id, component] of Object.entries(components)) {
        if (!known.has(id)) add(component as object)
        known.add(id)
      }
    }
  }
}
