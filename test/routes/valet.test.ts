import { Readable } from 'node:stream'
import { setTimeout as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { buildApp } from '../../app.js'
import { loadConfig } from '../../config.js'
import { databaseUrl, type Owner } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { bodyOf, databases } from './sample-app.js'

interface Issued { token: string, id: string, scopes: string[], expires_at: string, expires_in: number }
interface Listed { tokens: { id: string, state: string, uses: number }[], next_cursor?: string }
type Headers = Record<string, string>

const ADMINISTRATOR = 'the-key-of-the-administrator'
const withKey: Headers = { 'x-api-key': ADMINISTRATOR }
const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })

/** The whole service, and a route that is guarded as recipes are. */
async function open (owner: Owner, env: NodeJS.ProcessEnv) {
  const app = await buildApp(loadConfig({ LOG_LEVEL: 'silent', CACHE_ACCESS_LOG_ENABLED: 'false', SAMPLE_DATA: 'false', ...env }))
  owner.teardown(() => app.close())
  app.get('/guarded', { config: { scope: 'recipes:read' } }, async () => ({ ok: true }))
  app.delete('/guarded', { config: { scope: 'recipes:delete' } }, async () => ({ ok: true }))
  app.post('/guarded', { config: { scope: 'recipes:write' }, schema: { body: {} } }, async ({ body }) => ({ body }))
  app.get('/streamed', { config: { scope: 'recipes:read' } }, async () => Readable.from((async function * () {
    for (const part of ['x'.repeat(60), 'y'.repeat(60)]) {
      yield part
      await turn()
    }
  })()))
  await app.ready()
  return { app, ...senders(app) }
}

function senders (app: FastifyInstance) {
  const send = async (request: string, payload?: object, headers: Headers = {}, remoteAddress = '127.0.0.1') => {
    const [method, url] = request.split(' ') as [InjectOptions['method'], string]
    return await app.inject({ method, url, headers, remoteAddress, ...(payload && { payload }) } as InjectOptions)
  }
  const issue = async (wanted: object, headers: Headers = {}): Promise<Issued> => {
    const response = await send('POST /valet/token', wanted, headers)
    if (response.statusCode !== 201) throw new Error(response.body)
    return bodyOf<Issued>(response)
  }
  return { send, issue }
}

async function openGuarded (t: Test, env: NodeJS.ProcessEnv = {}) {
  return await open(t, { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, ...env })
}

for (const [name, settings] of Object.entries(databases)) {
  t.test(`valet keys on ${name}`, async (t) => {
    const { send, issue } = await open(t, await settings(t))

    t.test('in development anybody local is given one, for what they may not do themselves too', async (t) => {
      const before = Date.now()
      const response = await send('POST /valet/token', { scopes: ['recipes:read'] })
      t.equal(response.statusCode, 201)
      const body = bodyOf<Issued>(response)
      t.match(body, { token_type: 'Bearer', scopes: ['recipes:read'], expires_in: 300, resources: null })
      t.equal(response.headers['cache-control'], 'no-store')
      t.equal(response.headers.location, `/valet/tokens/${body.id}`)
      const life = Date.parse(body.expires_at) - before
      t.ok(life >= 300_000 && life <= 302_000, `${life} ms`)
      t.equal((await send('POST /valet/token', { scopes: ['items:read'] }, {}, '192.0.2.1')).statusCode, 401)
    })

    t.test('what is guarded opens to its scope, and to nothing else', async (t) => {
      const { token } = await issue({ scopes: ['recipes:read'] })
      t.equal((await send('GET /guarded', undefined, bearer(token))).statusCode, 200)
      t.equal((await send('GET /guarded')).statusCode, 401)
      const { token: other } = await issue({ scopes: ['recipes:delete'] })
      const refused = await send('GET /guarded', undefined, bearer(other))
      t.equal(refused.statusCode, 403)
      t.match(refused.headers['www-authenticate'], /error="insufficient_scope", scope="recipes:read"/)
      t.equal((await send('DELETE /guarded', undefined, bearer(other))).statusCode, 200)
      t.equal((await send('GET /items', undefined, bearer(other))).statusCode, 403, 'and limits its bearer, who could do without')
    })

    t.test('is listed without the token, and revoked at once, as often as one likes', async (t) => {
      const { token, id } = await issue({ scopes: ['items:read'], description: 'For a test', policy: 'tests' })
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { id, state: 'live', issuer: 'local', uses: 0, description: 'For a test', policy: 'tests' })
      t.notMatch((await send('GET /valet/tokens')).body, token.split('.')[2])
      t.equal((await send('GET /items', undefined, bearer(token))).statusCode, 200)
      for (const time of ['once', 'twice']) t.equal((await send(`DELETE /valet/tokens/${id}`)).statusCode, 204, time)
      const response = await send('GET /items', undefined, bearer(token))
      t.equal(response.statusCode, 401)
      t.match(response.headers['www-authenticate'], /error="invalid_token"/)
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { state: 'revoked', revoked_by: 'local' })
      t.equal((await send('DELETE /valet/tokens/7c84fb90-12c4-41e1-840d-7b25c5ee775a')).statusCode, 404)
      t.equal((await send('GET /valet/tokens/none')).statusCode, 404)
    })

    t.test('is good for as many requests as were given, however many come at once', async (t) => {
      const { token, id } = await issue({ scopes: ['recipes:*'], max_uses: 3 })
      t.equal((await send('POST /guarded', undefined, { ...bearer(token), 'content-type': 'application/json', 'content-length': '1' })).statusCode, 400)
      t.equal((await send('GET /items', undefined, bearer(token))).statusCode, 403)
      t.equal((await send('GET /health', undefined, bearer(token))).statusCode, 200)
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { uses: 0 }, 'none of which was a use')
      const answers = await Promise.all(Array.from({ length: 20 }, async () => await send('GET /guarded', undefined, bearer(token))))
      t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 3)
      for (const answer of answers.filter(({ statusCode }) => statusCode !== 200)) {
        t.match(bodyOf(answer), { status: 401, type: '/problems/valet-key-exhausted' })
        t.match(answer.headers['www-authenticate'], /error="invalid_token"/)
      }
      t.match(bodyOf(await send(`GET /valet/tokens/${id}`)), { uses: 3, max_uses: 3, state: 'exhausted' })
      const head = await issue({ scopes: ['recipes:read'], max_uses: 9 })
      t.equal((await send('HEAD /guarded', undefined, bearer(head.token))).statusCode, 200)
      t.match(bodyOf(await send(`GET /valet/tokens/${head.id}`)), { uses: 1 }, 'a HEAD is one as well')
    })

    t.test('the signing key is replaced, with valet keys going on, or with none', async (t) => {
      const { token } = await issue({ scopes: ['items:read'] })
      const rotated = bodyOf<{ kid: string, keys: { kid: string, state: string }[] }>(await send('POST /valet/rotate'))
      t.match(rotated.keys, [{ kid: rotated.kid, state: 'signing' }, { state: 'verifying' }])
      t.notMatch(JSON.stringify(rotated), /sealed|secret/)
      t.equal((await send('GET /items', undefined, bearer(token))).statusCode, 200)
      t.equal((await send('POST /valet/rotate', { retire: true })).statusCode, 200)
      t.equal((await send('GET /items', undefined, bearer(token))).statusCode, 401)
      const fresh = await issue({ scopes: ['items:read'] })
      const [{ kid }] = bodyOf<{ keys: [{ kid: string }] }>(await send('GET /valet/keys')).keys
      t.equal((await send(`DELETE /valet/keys/${kid}`)).statusCode, 204)
      t.equal((await send('GET /items', undefined, bearer(fresh.token))).statusCode, 401)
      t.equal((await send('DELETE /valet/keys/none')).statusCode, 404)
    })
  })
}

t.test('where everybody needs a credential', async (t) => {
  const { app, send, issue } = await openGuarded(t)

  t.test('only who may issue does', async (t) => {
    t.equal((await send('POST /valet/token', { scopes: ['items:read'] })).statusCode, 401)
    const { token } = await issue({ scopes: ['recipes:read'] }, withKey)
    t.equal((await send('POST /valet/token', { scopes: ['recipes:read'] }, bearer(token))).statusCode, 403)
    t.equal((await send('GET /guarded', undefined, bearer(token))).statusCode, 200)
  })

  t.test('what is not asked for in the right form is refused', async (t) => {
    const wrong: [object, number, RegExp][] = [
      [{}, 400, /scopes/],
      [{ scopes: [] }, 400, /scopes/],
      [{ scopes: ['recipes:fly'] }, 400, /no scope/],
      [{ scopes: 'recipes:read' }, 400, /scopes/],
      [{ scopes: ['recipes:read'], ttl: 3601 }, 422, /3600/],
      [{ scopes: ['recipes:read'], ttl: 0 }, 422, /not for ever/],
      [{ scopes: ['recipes:read'], ttl: -1 }, 400, /ttl/],
      [{ scopes: ['recipes:read'], ttl: null }, 400, /ttl/],
      [{ scopes: ['recipes:read'], max_uses: 0 }, 400, /max_uses/],
      [{ scopes: ['recipes:read'], max_uses: 1.5 }, 400, /max_uses/],
      [{ scopes: ['recipes:read'], ip: 'home' }, 400, /ip/],
      [{ scopes: ['recipes:read'], ip: [] }, 400, /ip/],
      [{ scopes: ['recipes:read'], max_bytes: 0 }, 400, /max_bytes/],
      [{ scopes: ['recipes:read'], not_before: 'soon' }, 400, /not_before/],
      [{ scopes: ['recipes:read'], not_before: '2999-01-01T00:00:00Z' }, 422, /not_before/],
      [{ scopes: ['recipes:read'], resources: ['recipe/7'] }, 400, /no resource/],
      [{ scopes: ['recipes:read'], namespaces: ['a b'] }, 400, /namespaces/],
      [{ scopes: ['recipes:read'], policy: 'a b' }, 400, /policy/],
      [{ scopes: ['recipes:read'], description: 'a\u0000b' }, 400, /description/],
      [{ scopes: ['recipes:read'], scope: 'x' }, 400, /scope/]
    ]
    for (const [wanted, status, says] of wrong) {
      const response = await send('POST /valet/token', wanted, withKey)
      t.equal(response.statusCode, status, JSON.stringify(wanted))
      t.match(bodyOf<{ detail: string }>(response).detail, says)
    }
  })

  t.test('a valet key begins when it was said to', async (t) => {
    const { token } = await issue({ scopes: ['recipes:read'], not_before: new Date(Date.now() + 60_000).toISOString() }, withKey)
    t.equal((await send('GET /guarded', undefined, bearer(token))).statusCode, 401)
  })

  t.test('it opens from its addresses alone, also where it is known already', async (t) => {
    const { token } = await issue({ scopes: ['recipes:read'], ip: '10.0.0.0/8' }, withKey)
    for (const [address, status] of [['10.1.2.3', 200], ['::ffff:10.1.2.3', 200], ['11.0.0.1', 403], ['10.1.2.3', 200], ['::1', 403]] as const) {
      t.equal((await send('GET /guarded', undefined, bearer(token), address)).statusCode, status, address)
    }
    t.equal((await send('GET /guarded', undefined, { ...bearer(token), 'x-forwarded-for': '10.0.0.1' }, '11.0.0.1')).statusCode, 403)
  })

  t.test('it takes only so many bytes, and gives only so many', async (t) => {
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const { token } = await issue({ scopes: ['recipes:*', 'cache:*'], max_bytes: 100 }, withKey)
    const headers = { ...bearer(token), 'content-type': 'application/json' }
    const text = (length: number): string => JSON.stringify('x'.repeat(length - 2))
    const post = async (body: string, isChunked: boolean): Promise<Response> => await fetch(`${url}/guarded`, {
      method: 'POST', headers, body: isChunked ? new Blob([body]).stream() : body, ...(isChunked && { duplex: 'half' })
    })
    for (const isChunked of [false, true]) {
      t.equal((await post(text(89), isChunked)).status, 200)
      const response = await post(text(101), isChunked)
      t.equal(response.status, 413)
      t.match(await response.json(), { type: '/problems/content-too-large', detail: /100 bytes/ })
    }
    t.equal((await post(text(50_000), true)).status, 413, 'without reading it all')

    for (let n = 0; n < 20; n++) await send('POST /api/cache/set', { key: `k${n}`, value: 'x'.repeat(20) }, withKey)
    t.equal((await send('GET /api/cache/exists/k1', undefined, headers)).statusCode, 200)
    const read = await send('GET /api/cache/keys', undefined, headers)
    t.equal(read.statusCode, 413)
    t.match(bodyOf(read), { type: '/problems/content-too-large', detail: /answers of 100 bytes/ })
    t.equal((await fetch(`${url}/api/cache/export?format=ndjson`, { headers })).status, 413, 'a stream that begins with too much too')
    const streamed = await fetch(`${url}/streamed`, { headers })
    t.equal(streamed.status, 200)
    await t.rejects(streamed.text(), 'one that has begun ends there')
    t.equal((await send('GET /api/cache/keys', undefined, withKey)).statusCode, 200)
  })

  t.test('it reaches its resources and namespaces alone', async (t) => {
    const { token } = await issue({ scopes: ['cache:read'], resources: ['cache/default/user:*'] }, withKey)
    for (const key of ['user:1', 'other']) await send('POST /api/cache/set', { key, value: 1 }, withKey)
    const found = async (key: string): Promise<unknown> => bodyOf<{ found: boolean }>(await send(`GET /api/cache/get/${key}`, undefined, bearer(token))).found
    t.strictSame([await found('user:1'), await found('%75ser:1'), await found('other')], [true, true, false])
    const exact = await issue({ scopes: ['cache:read'], resources: ['cache/default/user:123'] }, withKey)
    for (const key of ['user:123', 'user:1234']) await send('POST /api/cache/set', { key, value: 1 }, withKey)
    const exactly = async (path: string): Promise<unknown> => bodyOf<{ found: boolean }>(await send(`GET /api/cache/get/${path}`, undefined, bearer(exact.token))).found
    t.strictSame(await Promise.all(['user:123', '%75ser%3A123', 'user:1234', 'user:12', 'USER:123'].map(exactly)), [true, true, false, false, false])
    const written = await send('POST /api/cache/set', { key: 'user:123', value: 2 }, bearer(exact.token))
    t.equal(written.statusCode, 403)
    t.match(written.headers['www-authenticate'], /error="insufficient_scope"/)
    const product = await send('POST /products', { name: 'Tea', price: 1, category: 'Drinks' }, withKey)
    const { id } = bodyOf<{ product: { id: number } }>(product).product
    const one = await issue({ scopes: ['products:read'], resources: [`products/${id}`] }, withKey)
    const answers = await Promise.all([id, id + 1].map(async (n) => (await send(`GET /products/${n}`, undefined, bearer(one.token))).statusCode))
    t.strictSame(answers, [200, 403], 'also where an id is a number')
  })

  t.test('one that may issue hands on less, which ends with it', async (t) => {
    const root = await issue({ scopes: ['recipes:*', 'valet:*', 'valet:issue'], max_uses: 10 }, withKey)
    const child = await issue({ scopes: ['recipes:read'] }, bearer(root.token))
    t.equal((await send('POST /valet/token', { scopes: ['items:read'] }, bearer(root.token))).statusCode, 403)
    t.equal((await send('GET /guarded', undefined, bearer(child.token))).statusCode, 200)
    const listed = bodyOf<Listed>(await send('GET /valet/tokens', undefined, bearer(root.token))).tokens
    t.strictSame(listed.map(({ id }) => id), [root.id, child.id], 'and sees nothing else')
    t.strictSame(listed.map(({ uses }) => uses), [4, 1], 'two that issued, one of the child, and this one')
    t.equal((await send(`DELETE /valet/tokens/${root.id}`, undefined, withKey)).statusCode, 204)
    t.equal((await send('GET /guarded', undefined, bearer(child.token))).statusCode, 401)
    t.equal((await send('POST /valet/rotate', undefined, bearer(child.token))).statusCode, 401)
  })

  t.test('those of an API key end with it, and are revoked by its name', async (t) => {
    const { key, id } = bodyOf<{ key: string, id: string }>(await send('POST /keys', { scopes: ['recipes:*', 'valet:issue'] }, withKey))
    const tokens = [await issue({ scopes: ['recipes:read'] }, bearer(key)), await issue({ scopes: ['recipes:read'] }, bearer(key))]
    const statuses = async (): Promise<number[]> => await Promise.all(tokens.map(async ({ token }) => (await send('GET /guarded', undefined, bearer(token))).statusCode))
    t.strictSame(await statuses(), [200, 200])
    t.match(bodyOf(await send(`DELETE /valet/tokens?issuer=key:${id}`, undefined, withKey)), { revoked: 2 })
    t.strictSame(await statuses(), [401, 401])
    tokens.splice(0, 2, await issue({ scopes: ['recipes:read'] }, bearer(key)))
    t.strictSame(await statuses(), [200])
    await send(`DELETE /keys/${id}`, undefined, withKey)
    t.strictSame(await statuses(), [401])
    t.equal((await send('DELETE /valet/tokens', undefined, withKey)).statusCode, 400, 'all of everybody are not revoked by leaving something out')
  })

  t.test('pages of the list have a link to the next', async (t) => {
    const ids: string[] = []
    for (let n = 0; n < 3; n++) ids.push((await issue({ scopes: ['items:read'], policy: 'pages' }, withKey)).id)
    const first = await send('GET /valet/tokens?policy=pages&limit=2', undefined, withKey)
    const next = /^<(.*)>; rel="next"$/.exec(String(first.headers.link))?.[1] ?? ''
    t.equal(bodyOf<Listed>(first).tokens.length, 2)
    const second = await send(`GET ${next}`, undefined, withKey)
    t.equal(bodyOf<Listed>(second).tokens.length, 1)
    t.equal(second.headers.link, undefined)
    const newest = await send('GET /valet/tokens?policy=pages&limit=2&order=newest', undefined, withKey)
    const oldest = await send(`GET ${/^<(.*)>; rel="next"$/.exec(String(newest.headers.link))?.[1]}`, undefined, withKey)
    t.strictSame([newest, oldest].flatMap((page) => bodyOf<Listed>(page).tokens.map(({ id }) => id)), ids.reverse(), 'or the newest first')
  })

  t.test('public keys are none, where there are none', async (t) => {
    const response = await send('GET /.well-known/jwks.json')
    t.equal(response.statusCode, 404)
    t.match(bodyOf<{ detail: string }>(response).detail, /VALET_ALGORITHM=EdDSA/)
  })
})

t.test('with Ed25519 everybody can check a valet key', async (t) => {
  const { send, issue } = await openGuarded(t, { VALET_ALGORITHM: 'EdDSA', VALET_TOKEN_TTL: '20' })
  const { token, expires_in: life } = await issue({ scopes: ['recipes:read'] }, withKey)
  t.equal(life, 20)
  t.equal((await send('GET /guarded', undefined, bearer(token))).statusCode, 200)
  const response = await send('GET /.well-known/jwks.json')
  t.match(response, { statusCode: 200, headers: { 'cache-control': 'public, max-age=300', etag: /^"/ } })
  const { keys } = bodyOf<{ keys: { kid: string, kty: string, crv: string, x: string }[] }>(response)
  const [header, claims, signature] = token.split('.') as [string, string, string]
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }
  const key = await crypto.subtle.importKey('jwk', keys.find((one) => one.kid === kid)!, 'Ed25519', false, ['verify'])
  t.ok(await crypto.subtle.verify('Ed25519', key, Buffer.from(signature, 'base64url'), Buffer.from(`${header}.${claims}`)))
  t.notMatch(response.body, /"d"/)

  const etag = String(response.headers.etag)
  t.equal((await send('GET /.well-known/jwks.json', undefined, { 'if-none-match': etag })).statusCode, 304)
  await send('POST /valet/rotate', undefined, withKey)
  const rotated = await send('GET /.well-known/jwks.json', undefined, { 'if-none-match': etag })
  t.equal(rotated.statusCode, 200)
  t.equal(bodyOf<{ keys: object[] }>(rotated).keys.length, 2)
})
