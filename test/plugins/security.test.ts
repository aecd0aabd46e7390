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

t.test('a page of another site changes nothing', async (t) => {
  const app = await bare({ allowedOrigins: [ours] })
  app.post('/change', { config: { scope: 'public' } }, async () => 'changed')
  const status = async (headers: Record<string, string>, method: 'POST' | 'GET' = 'POST') =>
    (await app.inject({ method, url: method === 'POST' ? '/change' : '/user', headers: { host: 'localhost:8000', ...headers } })).statusCode
  const evil = 'https://evil.example'
  t.equal(await status({}), 200, 'no browser')
  t.equal(await status({ origin: 'http://localhost:8000', 'sec-fetch-site': 'same-origin' }), 200)
  t.equal(await status({ origin: 'https://behind-a-proxy.example', 'sec-fetch-site': 'same-origin' }), 200)
  t.equal(await status({ 'sec-fetch-site': 'none' }), 200, 'typed by a person')
  t.equal(await status({ origin: 'http://localhost:8000' }), 200, 'an older browser')
  t.equal(await status({ origin: ours, 'sec-fetch-site': 'cross-site' }), 200, 'allowed')
  t.equal(await status({ origin: ours }), 200)
  const foreign: Record<string, string>[] = [
    { origin: evil, 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'cross-site' }, { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' },
    { origin: evil }, { origin: 'null' }, { origin: 'http://localhost:3000' }
  ]
  for (const headers of foreign) {
    t.equal(await status(headers), 403, JSON.stringify(headers))
    t.equal(await status(headers, 'GET'), 200)
  }
  const refused = await app.inject({ method: 'POST', url: '/change', headers: { origin: evil } })
  t.match(refused.json(), { type: '/problems/forbidden', status: 403, detail: /ALLOWED_ORIGINS/ })
  t.equal(refused.headers['access-control-allow-origin'], undefined)
  await app.close()
})
