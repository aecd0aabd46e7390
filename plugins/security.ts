import fp from 'fastify-plugin'
import cors from '@fastify/cors'
import type { FastifyReply } from 'fastify'

export interface SecurityOptions {
  /** The origins whose pages may call this service from a browser, as `https://app.example`. Empty: none. */
  allowedOrigins: readonly string[]
}

/** CORS for the origins that are named, and for no others. Without any, browsers keep other sites' pages out by themselves. */
export default fp<SecurityOptions>(async function security (app, { allowedOrigins }) {
  if (allowedOrigins.length === 0) return
  await app.register(cors, {
    // `*` stays without credentials, as browsers demand; a list answers the caller's own origin, with `Vary: Origin`.
    origin: allowedOrigins.includes('*') ? '*' : [...allowedOrigins],
    credentials: !allowedOrigins.includes('*'),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['age', 'cache-status', 'etag', 'link', 'location', 'retry-after', 'x-request-id'],
    maxAge: 600,
    strictPreflight: false
  })
}, { name: 'security', fastify: '5.x' })

/** Adds a request header to `Vary` without losing what CORS put there. */
export function addVary (reply: FastifyReply, field: string): void {
  const fields = String(reply.getHeader('vary') ?? '').split(',').map((one) => one.trim()).filter((one) => one !== '')
  if (!fields.includes('*') && !fields.includes(field)) reply.header('vary', [...fields, field].join(', '))
}
