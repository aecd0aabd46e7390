// A bare route with some of Larder's plugins on it.
import Fastify from 'fastify'
import accessLog from '../../dist/plugins/access-log.js'
import gatekeeper from '../../dist/plugins/gatekeeper.js'
import metrics from '../../dist/plugins/metrics.js'
import rateLimit from '../../dist/plugins/rate-limit.js'
import requests, { requestId } from '../../dist/plugins/requests.js'
import scopes from '../../dist/plugins/scopes.js'
import { securityHeaders } from '../../dist/plugins/security-headers.js'
import { parseRates } from '../../dist/services/limits/rates.js'
import { serve } from './serve.mjs'

const MANY = parseRates('1000000/second')

serve(async ({ duties, url, text, administratorKey }) => {
  const has = (name) => duties.includes(name)
  const app = Fastify({ genReqId: requestId })
  await app.register(scopes)
  if (duties.length > 0) {
    await app.register(metrics, { enabled: has('metrics') })
    await app.register(accessLog, { enabled: has('log') })
  }
  if (has('frame')) await app.register(requests, has('headers') ? { constantHeaders: await securityHeaders({ tls: false }) } : {})
  if (has('gatekeeper')) await app.register(gatekeeper, { administratorKey, required: has('key') })
  if (has('limits')) await app.register(rateLimit, { requests: MANY, failedLogins: MANY })
  app.get(url, { config: { scope: 'cache:read' } }, (_request, reply) => {
    reply.header('content-type', 'application/json; charset=utf-8')
    reply.send(text)
  })
  return app
})
