import fastifyRateLimit, { type FastifyRateLimitOptions, type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyReply, FastifyRequest, RouteOptions, onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { Cluster, Redis } from 'ioredis'
import type { Sample } from '../services/metrics.js'
import { setLimitLines } from '../services/header-lines.js'
import { Buckets } from '../services/limits/buckets.js'
import { CostError, tooManyRequests } from '../services/limits/errors.js'
import type { Decision } from '../services/limits/gcra.js'
import { KnownCredentials } from '../services/limits/known-credentials.js'
import { Limiter } from '../services/limits/limiter.js'
import { Quota } from '../services/limits/quota.js'
import { parseRates, type Rate, rateOf, textOf } from '../services/limits/rates.js'
import { SharedCounter } from '../services/limits/shared-counter.js'
import { sourceOf } from '../services/limits/sources.js'
import type {} from './gatekeeper.js'
import type {} from './metrics.js'

export interface RateLimitOptions {
  /** What each caller may do: a credential, or an address without one. */
  requests: readonly Rate[]
  /** Credentials that do not hold which an address may present, and which may be presented of one key. */
  failedLogins: readonly Rate[]
  /** Milliseconds that Redis may be silent for. Default 200. */
  deadline?: number
}

/** The limits for everybody. */
export interface RateLimits {
  /** Puts others in their place, from the next request on; nobody has more left in proportion than before. */
  change (which: 'requests' | 'failedLogins', rates: readonly Rate[]): void
}

declare module 'fastify' {
  interface FastifyInstance {
    rateLimits: RateLimits
    /**
     * Charges whoever made a request that goes no further: to no route, malformed, or turned away. Goes on with the fault itself, or
     * with a refusal in its place.
     */
    limitFault?: (request: FastifyRequest, reply: FastifyReply, fault: Error | undefined, done: (error?: Error) => void) => void
    /** Charges an address for what cannot be read as a request. Goes on with the headers that say what is left, and with a refusal where nothing was. */
    limitSource?: (address: string | undefined, done: (headers: Record<string, string>, refusal?: Error) => void) => void
  }
}

declare module '@fastify/rate-limit' {
  interface RateLimitOptions {
    /** Limits of the route's own, as in `RATE_LIMITS`; `max` and `timeWindow` say the same of one. They hold in place of the caller's. */
    limits?: string
    /**
     * How many requests one counts as. Default 1. A number is at most all of the quota. A function is asked when the body has been
     * read; what costs more than the quota is refused with 422.
     */
    cost?: number | ((request: FastifyRequest) => number)
  }
}

type RouteLimits = Exclude<NonNullable<RouteOptions['config']>['rateLimit'], undefined | false>

/** What a route may say; the rest of what @fastify/rate-limit knows would be silently ignored here. */
const HONOURED = new Set(['limits', 'max', 'timeWindow', 'cost', 'groupId'])
/** Different limits that credentials have of their own. */
const MAX_OWN = 1000

/**
 * Rate limits for every route that is registered after it, by @fastify/rate-limit, whose options on routes hold (`config.rateLimit`), over
 * a store of our own. Counting is GCRA: in Redis where there is one, on its clock and for all processes; else, and while Redis is away,
 * in the process. What @fastify/rate-limit puts on a route is a promise for every request: a synchronous hook stands in its place.
 */
export default fp<RateLimitOptions>(async function rateLimit (app, { requests, failedLogins, deadline = 200 }) {
  const limiter = new Limiter()
  const known = new KnownCredentials()
  let everybody = new Quota('', requests)
  let logins = new Quota('logins', failedLogins, { prefix: 'failed-logins-' })
  const quotas = new Map<string, Quota>([['', everybody], ['logins', logins]])
  const own = new Map<string, Quota>()
  const ownBuckets = new Buckets()
  /** Of all of them, those that are not remembered any more included. */
  const ownRefusals = new Map<string, number>()

  // Before the routes of this plugin's own: `before` and `after` see what it adds, and what it merges.
  const before = new WeakMap<RouteOptions, onRequestHookHandler[]>()
  const merged = new WeakMap<RouteOptions, { max: number, timeWindow: number }>()
  app.addHook('onRoute', (route) => {
    const { rateLimit: given } = route.config ?? {}
    const unknown = Object.keys(given === undefined || given === false ? {} : given).find((name) => !HONOURED.has(name))
    if (unknown !== undefined) throw new Error(`${String(route.method)} ${route.url}: config.rateLimit.${unknown} is not honoured: give ${[...HONOURED].join(', ')}`)
    before.set(route, [route.onRequest ?? []].flat())
  })
  await app.register(fastifyRateLimit, {
    global: true,
    hook: 'onRequest',
    store: storeOf(limiter, () => everybody, (route, rate) => { merged.set(route, rate) }),
    max: requests[0]!.quota,
    timeWindow: requests[0]!.window,
    keyGenerator: callerOf
  })
  app.addHook('onRoute', (route) => {
    route.onRequest = before.get(route)!
    const given = route.config?.rateLimit
    if (given === false) return
    const quota = given === undefined ? undefined : quotaOf(route, given)
    const cost = given?.cost ?? 1
    route.onRequest = [...route.onRequest, arrival(quota, typeof cost === 'number' ? cost : 1)]
    if (typeof cost === 'function') route.preHandler = [...[route.preHandler ?? []].flat(), rest(quota, cost)]
  })

  app.decorate('limitFault', limitFault)
  app.decorate('limitSource', limitSource)
  app.decorate('rateLimits', { change })
  app.gatekeeper.before(refusedLogin)
  app.addHook('onReady', async () => {
    const { redis } = app as { redis?: Redis | Cluster }
    if (redis !== undefined) limiter.shared = new SharedCounter({ client: redis, deadline, onState })
  })
  app.metrics.addCollector(samples)

  function change (which: 'requests' | 'failedLogins', rates: readonly Rate[]): void {
    const quota = which === 'requests' ? everybody : logins
    if (textOf(rates) === textOf(quota.rates)) return
    const successor = limiter.change(quota, rates)
    if (which === 'requests') everybody = successor
    else logins = successor
    quotas.set(quota.scope, successor)
  }

  /** The route's own; undefined: that of everybody. */
  function quotaOf (route: RouteOptions, given: RouteLimits): Quota | undefined {
    if (given.limits === undefined && given.max === undefined && given.timeWindow === undefined) return undefined
    const { max, timeWindow } = merged.get(route)!
    const rates = given.limits === undefined ? [rateOf(max, timeWindow)] : parseRates(given.limits)
    const scope = given.groupId ?? `${String(route.method).replace('HEAD', 'GET')} ${route.url}`
    const quota = quotas.get(scope) ?? new Quota(scope, rates, { prefix: 'route-' })
    quotas.set(scope, quota)
    return quota
  }

  /** What holds for this caller: its own limits, but where the route has some. */
  function quotaFor (routeQuota: Quota | undefined, { identified }: FastifyRequest): Quota {
    if (routeQuota !== undefined) return routeQuota
    const limits = identified?.rateLimits
    return limits === undefined ? everybody : ownQuota(limits)
  }

  function ownQuota (limits: string): Quota {
    let quota = own.get(limits)
    if (quota === undefined) {
      if (own.size === MAX_OWN) {
        own.clear()
        for (const [name, count] of ownRefusals) if (count === 0) ownRefusals.delete(name)
      }
      quota = new Quota('own', parseRates(limits), { prefix: 'key-', buckets: ownBuckets, refusals: ownRefusals })
      own.set(limits, quota)
    }
    return quota
  }

  function arrival (routeQuota: Quota | undefined, cost: number): onRequestHookHandler {
    return function rateLimit (request, reply, done) {
      if (hasCredential(request)) known.add(credentialOf(request)!)
      const quota = quotaFor(routeQuota, request)
      const decision = limiter.take(quota, callerOf(request), Math.min(cost, quota.largestCost))
      if (decision instanceof Promise) decision.then((late) => { done(told(reply, quota, late)) }, done)
      else done(told(reply, quota, decision))
    }
  }

  /** What a body costs beyond the one that every request costs; that one is given back when there is not enough for all of it. */
  function rest (routeQuota: Quota | undefined, costOf: (request: FastifyRequest) => number): preHandlerHookHandler {
    return function rateLimitOfBody (request, reply, done) {
      const quota = quotaFor(routeQuota, request)
      const cost = costOf(request)
      if (cost > quota.largestCost) return done(new CostError(cost, quota.largestCost))
      if (cost <= 1) return done()
      const decision = limiter.take(quota, callerOf(request), cost - 1, 1)
      if (decision instanceof Promise) decision.then((late) => { done(told(reply, quota, late)) }, done)
      else done(told(reply, quota, decision))
    }
  }

  function told (reply: FastifyReply, quota: Quota, decision: Decision): Error | undefined {
    if (!decision.isAllowed) return refusal(quota, decision)
    if (setLimitLines(reply.raw, quota.lines(decision))) return undefined
    reply.header('ratelimit-policy', quota.policyHeader)
    reply.header('ratelimit', quota.header(decision))
    return undefined
  }

  function refusal (quota: Quota, decision: Decision, what?: string): Error {
    quota.refuse(decision)
    return tooManyRequests(quota, decision, what)
  }

  function limitFault (request: FastifyRequest, reply: FastifyReply, fault: Error | undefined, done: (error?: Error) => void): void {
    chargeFault(request, reply, fault).then((error) => { done(error ?? fault) }, done)
  }

  async function chargeFault (request: FastifyRequest, reply: FastifyReply, fault?: Error & { statusCode?: number }): Promise<Error | undefined> {
    const credential = credentialOf(request)
    if (credential !== undefined && fault?.statusCode === 401 && !hasCredential(request)) {
      known.delete(credential)
      for (const caller of suspects(request, credential)) await limiter.take(logins, caller, 1)
    }
    const quota = quotaFor(undefined, request)
    return told(reply, quota, await limiter.take(quota, callerOf(request), 1))
  }

  function limitSource (address: string | undefined, done: (headers: Record<string, string>, refusal?: Error) => void): void {
    const quota = everybody
    const tell = (decision: Decision): void => {
      const headers = { 'ratelimit-policy': quota.policyHeader, ratelimit: quota.header(decision) }
      done(headers, decision.isAllowed ? undefined : refusal(quota, decision))
    }
    const decision = limiter.take(quota, sourceOf(address), 1)
    if (!(decision instanceof Promise)) return tell(decision)
    decision.then(tell).catch((error: unknown) => { app.log.error({ err: error }, 'what is no request could not be answered') })
  }

  /**
   * Where too many credentials have failed, others are not even looked at, right or wrong, so that nothing is learnt from trying; what was
   * valid lately is, so that nobody is locked out by a neighbour.
   */
  function refusedLogin (request: FastifyRequest): Error | undefined {
    if (logins.buckets.size === 0) return undefined
    const credential = credentialOf(request)
    if (credential === undefined || known.has(credential)) return undefined
    for (const caller of suspects(request, credential)) {
      const decision = limiter.look(logins, caller)
      if (decision?.isAllowed === false) return refusal(logins, decision, 'Too many credentials that do not hold')
    }
    return undefined
  }

  function onState (state: string, error: unknown): void {
    if (state === 'open') app.log.warn({ error: error instanceof Error ? error.message : error }, 'Redis does not count requests: limits hold in each process by itself')
    else if (state === 'closed') app.log.info('Redis counts requests again')
  }

  function * samples (): Generator<Sample> {
    const rejections = { name: 'larder_rate_limit_rejections_total', help: 'Requests refused, by the policy that was reached', type: 'counter' } as const
    const byPolicy = new Map<string, number>()
    for (const refusals of [...[...quotas.values()].map((quota) => quota.refusals), ownRefusals]) {
      for (const [name, count] of refusals) byPolicy.set(name, (byPolicy.get(name) ?? 0) + count)
    }
    for (const [policy, value] of byPolicy) yield { ...rejections, labels: { policy }, value }
    const callers = [...quotas.values()].reduce((sum, { buckets }) => sum + buckets.size, ownBuckets.size)
    yield { name: 'larder_rate_limit_callers', help: 'Callers whose requests this process has counted lately', type: 'gauge', value: callers }
    yield {
      name: 'larder_rate_limit_per_process', help: '1 while Redis should count requests and does not: limits hold in each process by itself', type: 'gauge', value: limiter.state === 'closed' ? 0 : 1, across: 'highest'
    }
  }
}, { name: 'rate-limit', fastify: '5.x', dependencies: ['gatekeeper', 'metrics'] })

/** Whose quota it is: that of the credential, or of the address. */
function callerOf (request: FastifyRequest): string {
  return hasCredential(request) ? request.identified!.id : sourceOf(request.ip)
}

/** Whether a credential was presented, and held. What is no request for the router has not even the property. */
function hasCredential ({ identified }: FastifyRequest): boolean {
  const kind = identified?.kind
  return kind !== undefined && kind !== 'local' && kind !== 'anonymous'
}

function credentialOf ({ headers }: FastifyRequest): string | undefined {
  return headers.authorization ?? headers['x-api-key'] as string | undefined
}

/** Who answers for a credential that does not hold: its source, and the public part of a key's text. */
function suspects (request: FastifyRequest, credential: string): string[] {
  const id = /^(?:bearer +)?([A-Za-z0-9]{1,16}_[A-Za-z0-9]{1,40})_/i.exec(credential)?.[1]
  return id === undefined ? [sourceOf(request.ip)] : [sourceOf(request.ip), `id:${id}`]
}

/** Counts for the handlers that @fastify/rate-limit makes itself (`app.rateLimit()`, `app.createRateLimit()`), and learns what it merged. */
function storeOf (limiter: Limiter, everybody: () => Quota, onMerged: (route: RouteOptions, rate: { max: number, timeWindow: number }) => void) {
  return class GcraStore implements FastifyRateLimitStore {
    readonly #quota: Quota | undefined

    constructor (options: FastifyRateLimitOptions, quota?: Quota) {
      void options
      this.#quota = quota
    }

    incr (caller: string, callback: (error: Error | null, result?: { current: number, ttl: number }) => void, _timeWindow: number, max: number): void {
      const tell = ({ isAllowed, remaining, next, retryAfter }: Decision): void => {
        const left = Math.min(...remaining)
        callback(null, isAllowed ? { current: max - left, ttl: Math.max(...next) } : { current: max + 1, ttl: retryAfter })
      }
      const decision = limiter.take(this.#quota ?? everybody(), caller, 1)
      if (decision instanceof Promise) decision.then(tell, callback)
      else tell(decision)
    }

    child (options: RouteOptions & { path: string, prefix: string }): GcraStore {
      const { routeInfo, max, timeWindow } = options as unknown as { routeInfo: RouteOptions, max: number, timeWindow: number }
      if (routeInfo.url === undefined) return new GcraStore(options, new Quota(`${max} in ${timeWindow}`, [rateOf(max, timeWindow)]))
      onMerged(routeInfo, { max, timeWindow })
      return new GcraStore(options)
    }
  }
}
