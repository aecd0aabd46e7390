import t from 'tap'
import { bare } from './bare.js'

const ours = 'https://app.example'

t.test('without allowed origins no page of another site may read an answer', async (t) => {
  const app = await bare()
  const response = await app.inject({ url: '/user', headers: { origin: ours } })
  t.equal(response.headers['access-control-allow-origin'], undefined)
  t.equal((await app.inject({ method: 'OPTIONS', url: '/user', headers: { origin: ours, 'access-control-request-method': 'GET' } })).statusCode, 405)
  await app.close()
})

t.test('an allowed origin may, with credentials, and others may not', async (t) => {
  const app = await bare({ allowedOrigins: [ours, 'https://b.example'] })
  const allowed = await app.inject({ url: '/user', headers: { origin: ours } })
  t.match(allowed.headers, { 'access-control-allow-origin': ours, 'access-control-allow-credentials': 'true', vary: 'Origin' })
  t.match(allowed.headers['access-control-expose-headers'], /cache-status/)
  const other = await app.inject({ url: '/user', headers: { origin: 'https://evil.example' } })
  t.equal(other.statusCode, 200)
  t.equal(other.headers['access-control-allow-origin'], undefined)
  t.equal(other.headers.vary, 'Origin', 'a cache between keeps the two apart')
  const fault = await app.inject({ url: '/user?x=1', headers: { origin: ours } })
  t.equal(fault.statusCode, 400)
  t.equal(fault.headers['access-control-allow-origin'], ours, 'a page may read its errors')
  const home = await app.inject({ url: '/', headers: { origin: ours } })
  t.match(String(home.headers.vary), /Origin/i)
  t.match(String(home.headers.vary), /Accept/i)
  await app.close()
})

t.test('a preflight is answered, and unknown paths and methods stay what they are', async (t) => {
  const app = await bare({ allowedOrigins: [ours] })
  const preflight = await app.inject({ method: 'OPTIONS', url: '/user', headers: { origin: ours, 'access-control-request-method': 'PUT' } })
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers, { 'access-control-allow-origin': ours, 'access-control-allow-methods': /PUT/ })
  t.equal((await app.inject({ method: 'PUT', url: '/user', headers: { origin: ours } })).headers.allow, 'GET, HEAD')
  t.equal((await app.inject({ method: 'PUT', url: '/nowhere' })).statusCode, 404)
  await app.close()
})

t.test('any origin is allowed without credentials alone', async (t) => {
  const app = await bare({ allowedOrigins: ['*'] })
  const response = await app.inject({ url: '/user', headers: { origin: ours } })
  t.equal(response.headers['access-control-allow-origin'], '*')
  t.equal(response.headers['access-control-allow-credentials'], undefined)
  await app.close()
})
