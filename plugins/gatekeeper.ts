import createError from '@fastify/error'
import type { FastifyReply, FastifyRequest, RouteOptions, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { AdministratorKey } from '../services/access/administrator.js'
import type { Authenticator, Caller } from '../services/access/authenticator.js'
import { denialOf, type Demand, type Touches } from '../services/access/demand.js'
import { Denials } from '../services/access/denials.js'
import { badCredential } from '../services/access/errors.js'
import type { Principal } from '../services/access/principal.js'
import { Remembered } from '../services/access/remembered.js'
import { RouteTable } from '../services/access/route-table.js'
import { permissionIndex, RESOURCES, ScopeSet, type Permission } from '../services/access/scopes.js'
import type {} from './metrics.js'
import type { Priority } from '../services/limits/overload.js'
import type {} from './overload.js'
import type {} from './rate-limit.js'
import './scopes.js'

export interface GatekeeperOptions {
  /** Whether every caller needs a credential. Otherwise local ones without may do all but what recipes guard. Default true. */
  required?: boolean
  /** Whether every caller counts as a local one. Default false. */
  everyoneIsLocal?: boolean
  /** The administrator's key. Default: there is none. */
  administratorKey?: string
}

/** A request that was turned away. */
export interface Denial {
  readonly request: FastifyRequest
  /** Who it was, as far as that is known. */
  readonly principal: Principal
  readonly permission: Permission | 'public'
  readonly error: Error & { statusCode?: number, why?: string }
}

/** What is asked before a credential is looked at. */
export type Check = (request: FastifyRequest, reply: FastifyReply, priority: Priority) => Error | undefined

export interface Gatekeeper {
  /** What each route demands, by the address of a request. */
  readonly table: RouteTable
  /** Adds a kind of credential. */
  add (authenticator: Authenticator): void
  /** Whether the text looks like a credential, and so belongs in no log. */
  isCredential (text: string): boolean
  /** Adds what is asked before a credential is looked at: an error that it returns is the answer. */
  before (check: Check): void
  /**
   * Looks at the credential of a request again that is still being answered.
   * @throws what would be answered to it now, where that is not what it was answered at first
   */
  recheck (request: FastifyRequest): Promise<void>
  /** Tells of every 401 and 403 that the gatekeeper gives. */
  onDenial (listener: (denial: Denial) => void): void
  /** Tells of a denial that a handler has found, once it knew what the request was about. */
  denied (request: FastifyRequest, error: Error): void
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route touches, where its scope and its path do not say it. */
    touches?: Touches
  }
  interface FastifyInstance {
    gatekeeper: Gatekeeper
  }
  interface FastifyRequest {
    /** Who makes the request. Before the gatekeeper has looked, and on paths that no route takes, the anonymous. */
    principal: Principal
    /** The same, null before the gatekeeper has looked. */
    identified: Principal | null
  }
}

type Done = (error?: Error) => void

const BEARER = 'Bearer '

const TwoCredentialsError = createError(
  'ERR_MALFORMED_REQUEST', 'There is a credential in x-api-key and another in Authorization: send one of them.', 400)

const ANONYMOUS: Principal = Object.freeze({ kind: 'anonymous', id: '', scopes: ScopeSet.of([]) })
/** Recipes are guarded even in development: they are there to show how. */
const LOCAL: Principal = Object.freeze({
  kind: 'local', id: 'local', scopes: ScopeSet.of([...RESOURCES.filter((name) => name !== 'recipes').map((name) => `${name}:*`), 'valet:issue'])
})

/**
 * Stands before every route that is registered after it: tells who asks, from `x-api-key` or `Authorization: Bearer`, and turns away
 * who lacks the route's scope, before any of the body is read. What is not permitted is forbidden. A credential that is presented
 * is always checked, on public routes too, and limits its bearer; there alone the store of credentials may be away.
 */
export default fp<GatekeeperOptions>(async function gatekeeper (app, { required = true, everyoneIsLocal = false, administratorKey }) {
  const authenticators: Authenticator[] = administratorKey === undefined ? [] : [new AdministratorKey(administratorKey)]
  const remembered = new Remembered()
  const checks: Check[] = []
  const listeners: ((denial: Denial) => void)[] = []
  const told = new WeakSet<Error>()
  const table = new RouteTable()
  const denials = new Denials()
  const { metrics } = app as { metrics?: typeof app.metrics }
  metrics?.addCollector(() => denials.samples())
  const demands: { route: RouteOptions, demand: Demand }[] = []

  app.decorate('gatekeeper', {
    table,
    add: (authenticator) => { authenticators.push(authenticator) },
    isCredential: (text) => authenticators.some((each) => each.recognises(text)),
    before: (check) => { checks.push(check) },
    recheck: async (request) => {
      const { scope = 'public' } = request.routeOptions.config
      const principal = await identify(request)
      const error = denialOf(principal, { index: permissionIndex(scope) ?? -1, permission: scope, touches: 'handler' }, request.params)
      if (error !== undefined) throw error
    },
    onDenial: (listener) => { listeners.push(listener) },
    denied: (request, error) => { tell(request, request.routeOptions.config.scope ?? 'public', error) }
  })
  app.decorateRequest('identified', null)
  app.decorateRequest('principal', {
    getter () { return this.identified ?? ANONYMOUS },
    setter (this: FastifyRequest, principal: Principal) { this.identified = principal }
  })

  app.addHook('onRoute', (route) => {
    const demand: Demand = { index: -1, permission: 'public' }
    demands.push({ route, demand })
    for (const method of [route.method].flat()) table.add({ method, path: route.url, demand })
    route.onRequest = [gate(demand), ...[route.onRequest ?? []].flat()]
  })
  // Only now has every plugin around a route said its scope; plugins/scopes.ts refuses those that state none.
  app.addHook('onReady', async () => {
    for (const { route, demand } of demands.splice(0)) {
      demand.permission = route.config?.scope ?? 'public'
      demand.index = permissionIndex(demand.permission) ?? -1
      demand.priority = route.config?.priority
      // What is issued is held to the issuer by whoever issues it.
      demand.touches = route.config?.touches ?? (demand.permission === 'valet:issue' ? 'handler' : undefined)
    }
  })

  // A handler that turns somebody away throws, wherever it is.
  app.addHook('onError', (request, _reply, error, done) => {
    if (!told.has(error)) app.gatekeeper.denied(request, error)
    done()
  })

  /** Synchronous wherever the credential is known, and makes nothing then: a promise or a closure costs more than the lookup. */
  function gate (demand: Demand): onRequestHookHandler {
    return function gatekeeper (request, reply, done) {
      let found: Principal | Promise<Principal>
      try {
        for (const check of checks) {
          const error = check(request, reply, demand.priority ?? 'ordinary')
          if (error !== undefined) return done(error)
        }
        found = identify(request)
      } catch (error) {
        return refuse(demand, request, reply, error as Error, done)
      }
      if (!(found instanceof Promise)) return settle(demand, request, reply, found, done)
      found.then((principal) => { settle(demand, request, reply, principal, done) }, (error: unknown) => { refuse(demand, request, reply, error as Error, done) })
    }
  }

  function settle (demand: Demand, request: FastifyRequest, reply: FastifyReply, principal: Principal, done: Done): void {
    request.principal = principal
    const error = denialOf(principal, demand, request.params, request.query)
    if (error === undefined) return done()
    tell(request, demand.permission, error)
    turnAway(request, reply, error, done)
  }

  function refuse (demand: Demand, request: FastifyRequest, reply: FastifyReply, error: Error & { statusCode?: number }, done: Done): void {
    // A public answer is for everybody: it does not depend on who can be told apart just now.
    if (demand.index === -1 && error.statusCode === 503) return done()
    if (error.statusCode === 503) denials.count(error)
    tell(request, demand.permission, error)
    turnAway(request, reply, error, done)
  }

  /** Whoever is turned away uses up limits, too. */
  function turnAway (request: FastifyRequest, reply: FastifyReply, error: Error, done: Done): void {
    if (app.limitFault === undefined) done(error)
    else app.limitFault(request, reply, error, done)
  }

  function identify (request: FastifyRequest): Principal | Promise<Principal> {
    const credential = credentialOf(request)
    if (credential === undefined) return required || !(everyoneIsLocal || isLoopback(request.ip)) ? ANONYMOUS : LOCAL
    const known = remembered.get(credential)
    if (known !== undefined) {
      known.authenticator.recall?.(known.principal, request)
      return known.principal
    }
    const authenticator = authenticators.find((each) => each.recognises(credential))
    if (authenticator === undefined) throw badCredential('of no kind that is known here')
    return authenticate(authenticator, credential, request)
  }

  function authenticate (authenticator: Authenticator, credential: string, caller: Caller): Principal | Promise<Principal> {
    const { epoch = -1 } = authenticator
    const remember = (principal: Principal): Principal => {
      if (epoch >= 0) remembered.put(credential, principal, authenticator, epoch)
      return principal
    }
    const found = authenticator.authenticate(credential, caller)
    return found instanceof Promise ? found.then(remember) : remember(found)
  }

  function tell (request: FastifyRequest, permission: Permission | 'public', error: Denial['error']): void {
    // Whoever throws something else than an error is none of the gatekeeper's.
    if (!(error instanceof Error) || (error.statusCode !== 401 && error.statusCode !== 403)) return
    told.add(error)
    denials.count(error)
    for (const listener of listeners) listener({ request, principal: request.principal, permission, error })
  }
}, { name: 'gatekeeper', fastify: '5.x', dependencies: ['scopes'] })

/** The one credential of a request, wherever it is. In the query it is none: addresses are logged. */
function credentialOf ({ headers }: FastifyRequest): string | undefined {
  const key = headers['x-api-key']
  const { authorization } = headers
  if (key !== undefined && authorization !== undefined) throw new TwoCredentialsError()
  if (authorization !== undefined) {
    // As nearly everybody writes it.
    if (authorization.startsWith(BEARER) && authorization.length > BEARER.length && !authorization.includes(' ', BEARER.length)) return authorization.slice(BEARER.length)
    const [scheme, credential, ...more] = authorization.trim().split(/ +/)
    if (scheme?.toLowerCase() !== 'bearer' || credential === undefined || more.length > 0) throw badCredential('not a bearer credential')
    return credential
  }
  // Node joins what came twice with a comma, which no credential has.
  return key === undefined ? undefined : String(key)
}

export function isLoopback (address: string): boolean {
  return address === '127.0.0.1' || address === '::1' || /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/i.test(address)
}
