import t from 'tap'
import { securityHeaders } from '../../plugins/security-headers.js'
import { startApp } from '../routes/cache/api.js'

t.test('data loads nothing, stands in no frame, and is taken for nothing else', async (t) => {
  t.strictSame(await securityHeaders({ tls: false }), {
    'content-security-policy': "default-src 'none';frame-ancestors 'none'",
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY'
  })
})

t.test('HTTPS alone tells browsers to stay with it', async (t) => {
  t.match((await securityHeaders({ tls: true }))['strict-transport-security'], /^max-age=31536000/)
})

t.test('every answer has them, and pages their own policies', async (t) => {
  const app = await startApp(t, { REDIS_URL: '' })
  for (const url of ['/api/cache/get/a', '/nowhere', '/items/%zz', '/health', '/user?x=1']) {
    const { headers } = await app.inject(url)
    t.match(headers, { 'content-security-policy': "default-src 'none';frame-ancestors 'none'", 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' }, url)
    t.equal(headers['strict-transport-security'], undefined)
  }
  for (const [url, policy] of [['/', /script-src 'self'; style-src 'self';/], ['/docs', /style-src 'self' 'unsafe-inline'/], ['/redoc', /worker-src blob:/]] as const) {
    const { headers } = await app.inject({ url, headers: { accept: 'text/html' } })
    t.match(headers['content-security-policy'], policy, url)
    t.match(headers, { 'cross-origin-opener-policy': 'same-origin', 'x-frame-options': 'DENY', 'referrer-policy': 'same-origin' }, url)
  }
})
