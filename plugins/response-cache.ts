import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Cache } from '../services/cache/cache.js'
import type { Principal } from '../services/access/principal.js'
import { ResponseCounts } from '../services/response-cache/counts.js'
import { ResponseKeys } from '../services/response-cache/response-key.js'
import { ResponseStore } from '../services/response-cache/response-store.js'
import { fieldNames } from '../services/response-cache/storing.js'
import { groupList } from '../services/structured-string.js'
import type { Sample } from '../services/metrics.js'
import { Capture } from './response-capture.js'
import { Exchange } from './response-exchange.js'

/** How the answers of a GET route are cached: `config: { cache: { ttl: 60 } }`. */
export interface ResponseCaching {
  /**
   * Seconds for which an answer is fresh that does not say it itself (`s-maxage`, `max-age`, `Expires`); 0 never expires. A function is asked
   * for each answer that is stored.
   */
  ttl: number | ((request: FastifyRequest) => number)
  /** What an answer is about: `app.responseCache.drop` and routes with `config.invalidates` drop it by these. Default none. */
  tags?: readonly string[] | ((request: FastifyRequest) => readonly string[])
  /** Seconds past its TTL for which an answer is served while a new one is made in the background (RFC 5861). Default 0. */
  staleWhileRevalidate?: number
  /** Seconds past its TTL for which an answer is served in place of an error of the route (RFC 5861). Default 60. */
  staleIfError?: number
  /** Request headers that the answer depends on, beside those in its own `Vary`. Default none. */
  vary?: readonly string[]
  /**
   * Whom an answer is for. `everyone`: it does not depend on who asks, credentials or not. `caller`: each has one of its own, told apart by
   * the plugin's `identify`. Default: as RFC 9111 has it, an answer to a request with a credential (`Authorization`, `x-api-key`, `Cookie`) is kept
   * only where it says `public`, `s-maxage` or `must-revalidate`.
   */
  for?: 'everyone' | 'caller'
  /** Milliseconds that the route may take before those who wait are told 504. Default 10 000. */
  timeout?: number
}

/** What a route that changes something drops once it has answered with 2xx: tags, and keys such as `GET:/api/posts/`. */
export type Invalidates = readonly string[] | ((request: FastifyRequest) => readonly string[])

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How the answers of this route are cached. Absent: they are not. */
    cache?: ResponseCaching
    /** What is dropped after a change and before its answer is sent, so that whoever made it reads it. */
    invalidates?: Invalidates
  }
  interface FastifyInstance {
    /** What the routes have stored, and what drops it. */
    responseCache: ResponseStore
  }
  interface FastifyReply {
    /** Called once what `config.invalidates` names is dropped. */
    afterInvalidation: (() => void) | null
  }
}

export interface ResponseCacheOptions {
  /** Where answers are kept: of `createCache` for instance. Default: `app.cache`, by which the plugin `cache` comes first. */
  cache?: Cache
  /**
   * Who asks, for routes whose answers are for their caller. Keys have a digest of it. Default: the gatekeeper's principal and the `Cookie`; for whoever
   * came without a credential that it knows, the address with `Authorization`, `x-api-key` and `Cookie`.
   */
  identify?: (request: FastifyRequest) => string
}

/** A route with its caching, as it is asked for each request. */
export interface CachedRoute extends ResponseCaching {
  readonly handler: RouteHandlerMethod
  readonly keys: ResponseKeys
  /** Sorted and in lower case. */
  readonly vary: readonly string[]
  /** Behind each key of the route: what Fastify tells it apart from others of the same path by. */
  readonly constraints: string
}

/**
 * Caches the answers of GET routes that opt in with `config: { cache: { ttl } }`, and of their HEAD: RFC 9111 with Cache-Status (RFC 9211), Age, ETag
 * and 304, one run of the handler however many ask, stale answers (RFC 5861), and invalidation by tag or by key. It stands in front of the
 * handler, behind every hook before it: whoever is turned away there gets nothing from the cache either. Registered once, before the routes.
 * Hooks that change what is sent run for each answer; what is kept is what the handler gave.
 */
export default fp<ResponseCacheOptions>(async function responseCache (app, { cache = (app as { cache?: Cache }).cache, identify = identityOf }) {
  if (cache === undefined) throw new Error('There is no cache to keep answers in: register the plugin `cache` before `response-cache`, or give it the option `cache`.')
  const counts = new ResponseCounts()
  const store = new ResponseStore(cache, counts)
  app.decorate('responseCache', store)
  app.decorateReply('afterInvalidation', null)

  app.addHook('onRoute', (route) => {
    const { cache, invalidates } = route.config ?? {}
    if (cache !== undefined) serveFromCache(route, cache)
    if (invalidates !== undefined) invalidateAfter(route, invalidates)
  })
  const { metrics } = app as { metrics?: { addCollector (collect: () => Sample[]): void } }
  metrics?.addCollector(() => samples(counts))

  function serveFromCache (route: RouteOptions, cache: ResponseCaching): void {
    const methods = [route.method].flat()
    if (methods.some((method) => method !== 'GET' && method !== 'HEAD')) {
      throw new Error(`${methods.join(',')} ${route.url}: config.cache is for GET alone: answers to other methods are not cached.`)
    }
    const { handler } = route
    const cached: CachedRoute = {
      ...cache, handler, keys: new ResponseKeys(route.url), vary: fieldNames(cache.vary?.join(',')), constraints: constraintsOf(route)
    }
    route.handler = function respond (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      return new Exchange(store, cached, this, request, reply, identify).answer()
    }
    route.preSerialization = [...[route.preSerialization ?? []].flat(), Capture.preSerialization]
    route.onSend = [...[route.onSend ?? []].flat(), Capture.onSend]
  }

  function invalidateAfter (route: RouteOptions, invalidates: Invalidates): void {
    route.onSend = [...[route.onSend ?? []].flat(), function invalidate (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: (error: null, payload: unknown) => void) {
      if (reply.statusCode < 200 || reply.statusCode > 299) return done(null, payload)
      drop(invalidates, request, reply).catch((err: unknown) => {
        counts.failedInvalidations++
        request.log.error({ err, request_id: request.id }, 'What was changed could not be dropped from the cache')
      }).then(() => { done(null, payload) }).catch((err: unknown) => {
        request.log.error({ err, request_id: request.id }, 'The answer to a change could not be sent')
        reply.raw.destroy()
      })
    }]
  }

  async function drop (invalidates: Invalidates, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const names = typeof invalidates === 'function' ? invalidates(request) : invalidates
    await store.drop(...names)
    if (names.length > 0) reply.header('cache-group-invalidation', groupList(names))
    reply.afterInvalidation?.()
  }
}, { name: 'response-cache', fastify: '5.x' })

/** Two routes of the same path that Fastify tells apart by a constraint have answers of their own. */
function constraintsOf ({ constraints }: RouteOptions): string {
  return constraints === undefined || Object.keys(constraints).length === 0 ? '' : ` ${JSON.stringify(constraints, (_name, value: unknown) => value instanceof RegExp ? String(value) : value)}`
}

/**
 * A principal that was told by its credential stands for that, and no cookie; one that was not (anybody local, anybody at all) stands for nobody.
 * Of what is told here keys have a digest alone.
 */
function identityOf (request: FastifyRequest): string {
  const { kind, id } = (request as { principal?: Partial<Principal> }).principal ?? {}
  const { authorization = null, 'x-api-key': key = null, cookie = null } = request.headers
  switch (kind) {
    case 'administrator': case 'api_key': case 'valet_key': return JSON.stringify([kind, id, cookie])
    // Of another gatekeeper nobody knows what it goes by.
    default: return JSON.stringify([kind ?? null, id ?? null, request.ip, authorization, key, cookie])
  }
}

function samples (counts: ResponseCounts): Sample[] {
  const all: [name: string, help: string, value: number][] = [
    ['hits', 'Requests that a stored response answered', counts.hits],
    ['stale', 'Of the hits, those with a response that was stale', counts.stale],
    ['misses', 'Requests whose response was made, and kept where that is allowed', counts.misses],
    ['collapsed', 'Of the misses, those that waited for the response to another', counts.collapsed],
    ['bypasses', 'Requests that went past the stored responses', counts.bypasses],
    ['failed_invalidations', 'Changes after which the cache could not be told', counts.failedInvalidations]
  ]
  return all.map(([name, help, value]) => ({ name: `larder_response_cache_${name}_total`, help, type: 'counter', value }))
}
