import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import Fastify from 'fastify'

export interface SecurityHeadersOptions {
  /** Whether this process serves HTTPS itself: then browsers are told to ask for nothing else. */
  tls: boolean
}

/** Of an answer that is data: it loads nothing, and stands in no frame. Pages have policies of their own (`static.ts`). */
const options = ({ tls }: SecurityHeadersOptions): FastifyHelmetOptions => ({
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  frameguard: { action: 'deny' },
  strictTransportSecurity: tls,
  // These speak of pages, of Flash, and of browsers that are gone: pages set those that mean something.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  dnsPrefetchControl: false,
  ieNoOpen: false,
  permittedCrossDomainPolicies: false,
  xssFilter: false
})

/**
 * The headers that @fastify/helmet sets on every answer. They are the same for each, and asking it each time costs more than answering
 * from the cache: it is asked once, on an instance of its own.
 */
export async function securityHeaders (given: SecurityHeadersOptions): Promise<Record<string, string>> {
  const without = await headersOf()
  const all = await headersOf(options(given))
  return Object.fromEntries(Object.entries(all).filter(([name]) => !(name in without)))
}

async function headersOf (helmetOptions?: FastifyHelmetOptions): Promise<Record<string, string>> {
  const app = Fastify()
  if (helmetOptions !== undefined) await app.register(helmet, helmetOptions)
  app.get('/', async () => 'ok')
  const { headers } = await app.inject('/')
  await app.close()
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}
