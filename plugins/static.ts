import { fileURLToPath } from 'node:url'
import fp from 'fastify-plugin'
import fastifyStatic from '@fastify/static'

/** Headers of our own pages and of everything they load: nothing inline, nothing from another host. */
export const PAGE_POLICY = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff'
} as const

/**
 * The same for the references: Swagger UI and ReDoc write styles into elements, ReDoc searches in a worker made from a blob,
 * and the logo that it would fetch from another host stays out.
 */
export const REFERENCE_POLICY = {
  ...PAGE_POLICY,
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
} as const

/** What the build names by what is in it: `dashboard/main-4FQX5ZKT.js`. */
const NAMED_BY_CONTENT = /[/\\]dashboard[/\\][\w-]+-[A-Z0-9]{8}\.(?:js|css)(?:\.\w+)?$/

/** Serves the files under `public/` as `/assets/…`. */
export default fp(async function assets (app) {
  await app.register(async (app) => {
    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, scope: 'public' }
    })
    await app.register(fastifyStatic, {
      root: fileURLToPath(new URL('../public/', import.meta.url)),
      prefix: '/assets/',
      index: false,
      decorateReply: false,
      wildcard: false, // a route per file: whatever else is asked for is not found, and never looked for on the disk
      preCompressed: true,
      maxAge: '1h',
      setHeaders: (reply, path) => {
        reply.headers(PAGE_POLICY)
        if (NAMED_BY_CONTENT.test(path)) reply.header('cache-control', 'public, max-age=31536000, immutable')
      }
    })
  })
}, { name: 'static', fastify: '5.x' })
