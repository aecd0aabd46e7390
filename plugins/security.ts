import fp from 'fastify-plugin'
import cors from '@fastify/cors'
import createError from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'

export interface SecurityOptions {
  /** The origins whose pages may call this service from a browser, as `https://app.example`. Empty: none. */
  allowedOrigins: readonly string[]
}

const ForeignPageError = createError(
  'ERR_FORBIDDEN', 'A page of another site must not change anything here: add its origin to ALLOWED_ORIGINS, if it is to be trusted.', 403)

const CHANGES_NOTHING = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * CORS for the origins that are named, and for no others. Browsers keep other sites' pages from reading answers; that they cannot
 * send what changes something, such as a POST without a body, is seen to here.
 */
export default fp<SecurityOptions>(async function security (app, { allowedOrigins }) {
  const allowed = new Set(allowedOrigins)
  app.addHook('onRequest', (request, _reply, done) => {
    if (CHANGES_NOTHING.has(request.method) || !isForeign(request)) return done()
    const isAllowed = allowed.has('*') || allowed.has(request.headers.origin ?? '')
    done(isAllowed ? undefined : new ForeignPageError())
  })
  if (allowed.size === 0) return
  await app.register(cors, {
    // `*` stays without credentials, as browsers demand; a list answers the caller's own origin, with `Vary: Origin`.
    origin: allowedOrigins.includes('*') ? '*' : [...allowedOrigins],
    credentials: !allowedOrigins.includes('*'),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['age', 'cache-status', 'etag', 'idempotency-replayed', 'link', 'location', 'ratelimit', 'ratelimit-policy', 'retry-after', 'x-request-id'],
    maxAge: 600,
    strictPreflight: false
  })
}, { name: 'security', fastify: '5.x' })

/**
 * Whether a browser sends this for a page of another site. Browsers say so themselves (Fetch Metadata); older ones name the
 * page's origin, which is compared with the host that was asked. Whoever is no browser sends neither.
 */
function isForeign ({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const { origin } = headers
  return origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== headers.host)
}

/** Adds a request header to `Vary` without losing what CORS put there. */
export function addVary (reply: FastifyReply, field: string): void {
  const fields = String(reply.getHeader('vary') ?? '').split(',').map((one) => one.trim()).filter((one) => one !== '')
  if (!fields.includes('*') && !fields.includes(field)) reply.header('vary', [...fields, field].join(', '))
}
