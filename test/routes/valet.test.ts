import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { bodyOf, databases, openApp, sender } from './sample-app.js'

interface Issued { token: string, id: string, scopes: string[], expires_at: string, expires_in: number }

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

async function issued (app: FastifyInstance, body: object, token?: string): Promise<Issued> {
  const response = await sender(app)('POST /valet/token', body, token === undefined ? {} : bearer(token))
  if (response.statusCode !== 201) throw new Error(response.body)
  return bodyOf<Issued>(response)
}

for (const [name, settings] of Object.entries(databases)) {
  t.test(`valet keys on ${name}`, async (t: Test) => {
    const app = await openApp(t, { ...await settings(t), SAMPLE_DATA: 'false' })
    const send = sender(app)

    t.test('in development anybody local is given one, for what they may not do themselves too', async (t) => {
      const before = Date.now()
      const response = await send('POST /valet/token', { scopes: ['recipes:read'] })
      t.equal(response.statusCode, 201)
      const body = bodyOf<Issued>(response)
      t.match(body, { token_type: 'Bearer', scopes: ['recipes:read'], expires_in: 300, resources: null })
      t.equal(response.headers['cache-control'], 'no-store')
      t.equal(response.headers.location, `/valet/tokens/${body.id}`)
      const life = Date.parse(body.expires_at) - before
      t.ok(life >= 300_000 && life <= 302_000, String(life))
      t.equal((await app.inject({ method: 'POST', url: '/valet/token', payload: { scopes: ['items:read'] }, remoteAddress: '192.0.2.1' })).statusCode, 401)
    })

    t.test('the bearer may do what it permits, and nothing else', async (t) => {
      const { token } = await issued(app, { scopes: ['items:read'] })
      t.equal((await send('GET /items', undefined, bearer(token))).statusCode, 200)
      const response = await send('POST /items', { name: 'Alice' }, bearer(token))
      t.equal(response.statusCode, 403)
      t.match(response.headers['www-authenticate'], /error="insufficient_scope", scope="items:write"/)
    })

    t.test('is listed without the token, and revoked at once', async (t) => {
      const { token, id } = await issued(app, { scopes: ['items:read'], description: 'For a test', policy: 'tests' })
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { id, state: 'live', issuer: 'local', uses: 0, description: 'For a test', policy: 'tests' })
      t.notMatch((await send('GET /valet/tokens')).body, token.split('.')[2])
      for (const time of ['once', 'twice']) t.equal((await send(`DELETE /valet/tokens/${id}`)).statusCode, 204, time)
      const response = await send('GET /items', undefined, bearer(token))
      t.equal(response.statusCode, 401)
      t.match(response.headers['www-authenticate'], /error="invalid_token"/)
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { state: 'revoked', revoked_by: 'local' })
      t.equal((await send('DELETE /valet/tokens/7c84fb90-12c4-41e1-840d-7b25c5ee775a')).statusCode, 404)
      t.equal((await send('GET /valet/tokens/none')).statusCode, 404)
    })
  })
}
