import type { FastifyReply, FastifyRequest, onRequestHookHandler, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { keyHashOf, type AuditEvent, type AuditOutcome } from '../services/access/audit-event.js'
import { AuditLog } from '../services/access/audit-log.js'
import { thingOf, type Demand, type PathParameters } from '../services/access/demand.js'
import type {} from './gatekeeper.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Makes every use of the route an administrative act of this name, `cache.clear` for instance, that the audit log keeps. */
    audit?: string
  }
  interface FastifyInstance {
    audit: AuditLog
  }
}

export interface AuditOptions {
  /** Days that an entry is kept. */
  retention: number
}

const HOUR = 3_600_000
/** As for what no administrative act is. */
const ACCESS = 'access'
const NAMESPACE = /^[A-Za-z0-9_.-]{1,64}$/

/**
 * Decorates the instance with `audit`, and writes into it: what is done on routes that state `config.audit`, whoever is turned away,
 * and what valet keys are used for. Registered before any route that is to be heard of.
 */
export default fp<AuditOptions>(async function audit (app, { retention }) {
  const { database, log } = app
  const audit = new AuditLog({ database, log, retention })
  app.decorate('audit', audit)

  app.gatekeeper.onDenial(({ request, error }) => {
    const reason = error.why ?? error.message
    audit.count({ ...eventOf(request), outcome: 'denied', status: error.statusCode, reason })
  })

  // Not `onResponse`, which an answer that nobody takes to its end never comes to.
  app.addHook('onRoute', (route) => {
    route.onRequest = [route.onRequest ?? []].flat().concat(route.config?.audit === undefined ? followUse(route) : followAct)
  })

  const followAct: onRequestHookHandler = (request, reply, done) => {
    reply.raw.on('close', () => { note(noteAct, request, reply) })
    done()
  }

  function followUse (route: RouteOptions): onRequestHookHandler {
    const noteUse = (request: FastifyRequest, reply: FastifyReply): void => {
      const { principal } = request
      // One that is good for a number of uses has an entry for each.
      if (principal.spend !== undefined) return audit.record(outcomeOf(request, reply))
      const { statusCode: status } = reply
      const scope = route.config?.scope ?? 'public'
      const alike = { at: Date.now(), outcome: outcomeFrom(reply), action: ACCESS, scope, status, principal: principal.id, address: request.ip }
      if (!audit.countAgain(alike)) audit.count(outcomeOf(request, reply))
    }
    return (request, reply, done) => {
      if (request.identified?.kind === 'valet_key') reply.raw.on('close', () => { note(noteUse, request, reply) })
      done()
    }
  }

  /** Once the answer is sent nobody is left to take a fault: thrown, it would end the process. */
  function note (what: typeof noteAct, request: FastifyRequest, reply: FastifyReply): void {
    if (isDenied(reply)) return
    try {
      what(request, reply)
    } catch (err) {
      log.error({ err, request_id: request.id }, 'The audit log has no entry for a request')
    }
  }

  function noteAct (request: FastifyRequest, reply: FastifyReply): void {
    audit.record(outcomeOf(request, reply))
  }

  const prune = (): void => {
    audit.prune().catch((error: unknown) => { log.warn({ err: error }, 'old entries of the audit log could not be removed: tried again in an hour') })
  }
  const pruning = setInterval(prune, HOUR).unref()
  app.addHook('onReady', async () => { prune() })
  app.addHook('onClose', async () => {
    clearInterval(pruning)
    await audit.close()
  })
}, { name: 'audit', fastify: '5.x', dependencies: ['gatekeeper', 'postgres'] })

const isDryRun = ({ query }: FastifyRequest): boolean => (query as { dry_run?: unknown } | undefined)?.dry_run === true

/** Who was turned away has been told of by the gatekeeper. */
const isDenied = ({ statusCode }: FastifyReply): boolean => statusCode === 401 || statusCode === 403

function outcomeOf (request: FastifyRequest, reply: FastifyReply): AuditEvent {
  const { statusCode } = reply
  const event = eventOf(request)
  const location = reply.getHeader('location')
  return {
    ...event,
    outcome: outcomeFrom(reply),
    ...(statusCode < 400 && !reply.raw.writableEnded && { reason: 'The answer was not taken to its end.' }),
    ...(reply.hasHeader('idempotency-replayed') && { reason: 'The answer to an earlier request with the same Idempotency-Key: nothing was done.' }),
    ...(isDryRun(request) && { reason: 'A dry run: nothing was done.' }),
    status: statusCode,
    // What was made is named where it can be found.
    ...(statusCode === 201 && typeof location === 'string' && { resource: location.replace(/^\//, '') })
  }
}

/** An export that breaks off, or that nobody takes to its end, has begun with 200. */
function outcomeFrom ({ statusCode, raw }: FastifyReply): AuditOutcome {
  return statusCode < 400 && raw.writableEnded ? 'success' : 'failure'
}

function eventOf (request: FastifyRequest): Omit<AuditEvent, 'outcome'> {
  const { principal, params, query, body, routeOptions: { config: { scope = 'public', audit = ACCESS, touches }, url = '' } } = request
  const said = (name: string): string | undefined => [params, query, body].map((part) => textIn(part, name)).find((text) => text !== undefined)
  const namespace = said('namespace') ?? (url.startsWith('/api/cache/') ? 'default' : undefined)
  // The name of a setting is no secret, as the key of an entry may be.
  const setting = url.startsWith('/config/') ? textIn(params, 'key') : undefined
  const key = setting === undefined ? said('key') : undefined
  const { gatekeeper } = request.server
  // Whoever takes an id for the credential sends that in the path.
  const resource = setting === undefined ? resourceOf({ permission: scope, index: 0, touches }, params as PathParameters) : `config/${setting}`
  return {
    at: Date.now(),
    principal: principal.id,
    kind: principal.kind,
    kid: principal.signingKey,
    action: audit,
    scope,
    resource: resource?.split('/').some((part) => gatekeeper.isCredential(part)) === true ? undefined : resource,
    keyHash: key === undefined ? undefined : keyHashOf(key),
    // What nobody checked yet may be anything, a credential included.
    namespace: namespace !== undefined && NAMESPACE.test(namespace) ? namespace : undefined,
    address: request.ip,
    requestId: request.id
  }
}

/** The entries of the cache are named by namespace and key instead. */
function resourceOf (demand: Demand, params: PathParameters): string | undefined {
  const { permission, touches } = demand
  if (permission === 'public') return undefined
  return touches === undefined || typeof touches === 'function' || params['id'] !== undefined ? thingOf(demand, params) : undefined
}

function textIn (part: unknown, name: string): string | undefined {
  if (typeof part !== 'object' || part === null || !Object.hasOwn(part, name)) return undefined
  const value = (part as Record<string, unknown>)[name]
  return typeof value === 'string' ? value : undefined
}
