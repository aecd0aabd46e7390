import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ApiKey, ApiKeyListReply, IssuedApiKey } from '../../schemas/keys.js'
import { eventually } from '../support/caches.js'
import { bodyOf, databases, openApp } from './sample-app.js'

const ADMINISTRATOR = 'the-administrators-own-key'

/** Requests with a credential: `as(key)('POST /keys', { … })`. */
function caller (app: FastifyInstance) {
  return (key: string) => async (request: string, payload?: object) => {
    const [method, url] = request.split(' ') as ['GET', string]
    return await app.inject({ method, url, headers: { 'x-api-key': key }, ...payload && { payload } })
  }
}

for (const [name, settings] of Object.entries(databases)) {
  t.test(name, async (t) => {
    const app = await openApp(t, { ...await settings(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR })
    const as = caller(app)
    const administrator = as(ADMINISTRATOR)
    const issue = async (wanted: object, by = administrator): Promise<IssuedApiKey> => {
      const answer = await by('POST /keys', wanted)
      t.equal(answer.statusCode, 201, answer.body)
      return bodyOf<IssuedApiKey>(answer)
    }
    const refused = async (t: Test, wanted: object, status: number, says: RegExp, by = administrator) => {
      const answer = await by('POST /keys', wanted)
      t.equal(answer.statusCode, status, answer.body)
      t.match(bodyOf<{ detail: string }>(answer).detail, says)
    }

    t.test('a key is shown once, and opens what its scopes say', async (t) => {
      const answer = await administrator('POST /keys', { name: 'Shop', scopes: ['items:read', 'cache:*'], forbid: ['cache:delete'], ttl: 60, rate_limit: '100/minute' })
      const { key, ...described } = bodyOf<IssuedApiKey>(answer)
      t.match(answer, { statusCode: 201, headers: { location: `/keys/${described.id}`, 'cache-control': 'no-store' } })
      t.match(key, /^larder_[0-9A-Za-z]{13}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
      t.match(described, {
        prefix: `larder_${described.id}`,
        name: 'Shop',
        status: 'live',
        scopes: ['cache:*', 'items:read'],
        forbid: ['cache:delete'],
        namespaces: null,
        rate_limit: '100/minute',
        created_by: 'administrator',
        last_used_at: null,
        revoked_at: null,
        successor: null
      })
      t.equal(Math.round((Date.parse(described.expires_at!) - Date.parse(described.created_at)) / 1000), 60)

      const bearer = as(key)
      t.equal((await bearer('GET /items')).statusCode, 200)
      t.equal((await app.inject({ url: '/items', headers: { authorization: `Bearer ${key}` } })).statusCode, 200)
      t.equal((await bearer('POST /items', {})).statusCode, 403)
      t.equal((await bearer('GET /api/cache/get/a')).statusCode, 200)
      t.equal((await bearer('DELETE /api/cache/delete/a')).statusCode, 403, 'forbidden whatever permits it')

      const shown = await administrator(`GET /keys/${described.id}`)
      t.equal(shown.headers['cache-control'], 'no-store')
      t.match(bodyOf(shown), { ...described, last_used_at: undefined })
      const listed = await administrator('GET /keys')
      for (const { body } of [shown, listed]) t.notMatch(body, new RegExp(key.split('_')[2]!), 'and never again')
      await eventually(async () => bodyOf<ApiKey>(await administrator(`GET /keys/${described.id}`)).last_used_at !== null, 'the use is noted')
    })

    t.test('what is stored opens nothing', async (t) => {
      const { key, id } = await issue({ scopes: ['items:read'] })
      const { rows: [row] } = await app.database.query<{ secret_hash: string }>({ text: 'SELECT * FROM api_keys WHERE id = $1', values: [id] })
      t.match(row?.secret_hash, /^[0-9a-f]{64}$/)
      t.equal(row?.secret_hash, createHash('sha256').update(`${key.split('_')[2]}_${id}`).digest('hex'))
      t.notMatch(JSON.stringify(row), new RegExp(key.split('_')[2]!))
      for (const guess of [row!.secret_hash, `larder_${id}_${row!.secret_hash}`, `larder_${id}`, id]) t.equal((await as(guess)('GET /items')).statusCode, 401)
    })

    t.test('every credential that does not hold is refused in the same words', async (t) => {
      const [one, other] = [await issue({ scopes: ['items:read'] }), await issue({ scopes: ['items:read'] })]
      const spent = await issue({ scopes: ['items:read'] })
      await administrator(`DELETE /keys/${spent.id}`)
      const [, id, secret, checksum] = one.key.split('_') as [string, string, string, string]
      const bodies = new Set<string>()
      const bad = [
        spent.key, `larder_${id}_${secret}_000000`, `larder_${id}_${secret}`, `larder_${id}_${other.key.split('_')[2]}_${checksum}`,
        `larder_${id}_${secret.toLowerCase()}_${checksum}`, `${one.key}0`, `${one.key} `.trimStart(), 'larder_', 'larder_x', one.key.toUpperCase(), 'nothing'
      ]
      for (const key of bad.filter((text) => text !== `${one.key} `)) {
        const answer = await as(key)('GET /items')
        t.equal(answer.statusCode, 401, key)
        t.match(answer.headers['www-authenticate'], /error="invalid_token"/)
        bodies.add(JSON.stringify({ ...bodyOf(answer), instance: '' }))
      }
      t.equal(bodies.size, 1)
    })

    t.test('a key that expires does so by itself', async (t) => {
      const { key, id } = await issue({ scopes: ['items:read'], ttl: 1 })
      t.equal((await as(key)('GET /items')).statusCode, 200)
      await eventually(async () => (await as(key)('GET /items')).statusCode === 401, 'it has expired')
      t.equal(bodyOf<ApiKey>(await administrator(`GET /keys/${id}`)).status, 'expired')
      t.equal((await administrator(`POST /keys/${id}/rotate`)).statusCode, 409)
    })

    t.test('a revoked key is out at once, and may be revoked again', async (t) => {
      const { key, id } = await issue({ scopes: ['items:read'] })
      for (let i = 0; i < 2; i++) t.equal((await as(key)('GET /items')).statusCode, 200)
      for (let i = 0; i < 2; i++) {
        t.strictSame(bodyOf(await administrator(`DELETE /keys/${id}`)), { ok: true })
        t.equal((await as(key)('GET /items')).statusCode, 401)
        t.equal((await as(key)('GET /health/live')).statusCode, 401, 'on public routes too: a credential that is presented is checked')
      }
      t.match(bodyOf(await administrator(`GET /keys/${id}`)), { status: 'revoked', revoked_by: 'administrator', revoked_at: String })
      t.equal((await administrator(`POST /keys/${id}/rotate`)).statusCode, 409)
      for (const request of ['GET /keys/none', 'DELETE /keys/none', 'POST /keys/none/rotate']) t.equal((await administrator(request)).statusCode, 404, request)
    })

    t.test('rotation', async (t) => {
      t.test('leaves two live, with the same rights', async (t) => {
        const old = await issue({ name: 'Old', scopes: ['items:*'], forbid: ['items:delete'], namespaces: ['a'], rate_limit: '5/second' })
        const answer = await administrator(`POST /keys/${old.id}/rotate`)
        const successor = bodyOf<IssuedApiKey>(answer)
        t.match(answer, { statusCode: 201, headers: { location: `/keys/${successor.id}`, 'cache-control': 'no-store' } })
        t.match(successor, { name: 'Old', scopes: old.scopes, forbid: old.forbid, namespaces: old.namespaces, rate_limit: old.rate_limit, expires_at: null })
        for (const { key } of [old, successor]) t.equal((await as(key)('GET /items')).statusCode, 200)
        const left = bodyOf<ApiKey>(await administrator(`GET /keys/${old.id}`))
        t.equal(left.successor, successor.id)
        t.ok(Math.abs(Date.parse(left.expires_at!) - Date.parse(successor.created_at) - 86_400_000) < 60_000, 'for a day')

        t.match(bodyOf<{ detail: string }>(await administrator(`POST /keys/${old.id}/rotate`)).detail, successor.id, 'not three')
        t.match(bodyOf<{ detail: string }>(await administrator(`POST /keys/${successor.id}/rotate`)).detail, old.id)
        t.equal((await administrator(`POST /keys/${successor.id}/rotate`, { overlap: 0 })).statusCode, 201)
        t.equal((await as(successor.key)('GET /items')).statusCode, 401)
        t.equal((await as(old.key)('GET /items')).statusCode, 200)
      })

      t.test('ends the old key when it is told to', async (t) => {
        const old = await issue({ scopes: ['items:read'], ttl: 1000 })
        const at = bodyOf<IssuedApiKey>(await administrator(`POST /keys/${old.id}/rotate`, { overlap: 0 }))
        t.equal(at.expires_at, old.expires_at, 'the new one expires when the old one would have')
        t.equal((await as(old.key)('GET /items')).statusCode, 401)
        const soon = bodyOf<IssuedApiKey>(await administrator(`POST /keys/${at.id}/rotate`, { overlap: 1, ttl: 0 }))
        t.equal(soon.expires_at, null)
        t.equal((await as(at.key)('GET /items')).statusCode, 200)
        await eventually(async () => (await as(at.key)('GET /items')).statusCode === 401, 'the overlap is over')
        t.equal((await as(soon.key)('GET /items')).statusCode, 200)
      })

      t.test('makes one successor, however many ask', async (t) => {
        const old = await issue({ scopes: ['items:read'] })
        const statuses = (await Promise.all(Array.from({ length: 8 }, async () => await administrator(`POST /keys/${old.id}/rotate`)))).map(({ statusCode }) => statusCode)
        t.strictSame(statuses.sort(), [201, ...Array.from({ length: 7 }, () => 409)])
      })
    })

    t.test('nobody creates a key that can do more than they can', async (t) => {
      const limited = as((await issue({ scopes: ['keys:*', 'items:*', 'cache:read'], forbid: ['items:delete'] })).key)
      await refused(t, { scopes: ['products:read'] }, 403, /products:read/, limited)
      await refused(t, { scopes: ['*'] }, 403, /products:read/, limited)
      await refused(t, { scopes: ['items:*'] }, 403, /items:delete/, limited)
      await refused(t, { scopes: ['items:*'], forbid: ['items:read'] }, 403, /items:delete/, limited)
      await issue({ scopes: ['items:*'], forbid: ['*:delete'] }, limited)
      const wide = await issue({ scopes: ['*'] })
      t.equal((await limited(`POST /keys/${wide.id}/rotate`)).statusCode, 403, 'by rotation neither')
      t.equal((await limited(`DELETE /keys/${wide.id}`)).statusCode, 200, 'but may take away')

      const brief = await issue({ scopes: ['keys:write', 'items:read'], ttl: 100, rate_limit: '10/minute' })
      t.match(await issue({ scopes: ['items:read'] }, as(brief.key)), { expires_at: brief.expires_at, rate_limit: '10/minute' })
      await refused(t, { scopes: ['items:read'], ttl: 200 }, 403, /expires at/, as(brief.key))
      await refused(t, { scopes: ['items:read'], ttl: 0 }, 403, /expires at/, as(brief.key))
      for (const rate of ['11/minute', '10/second', '600/hour']) await refused(t, { scopes: ['items:read'], rate_limit: rate }, 403, /10\/minute/, as(brief.key))
      t.match(await issue({ scopes: ['items:read'], rate_limit: '5/minute', ttl: 50 }, as(brief.key)), { rate_limit: '5/minute', created_by: `key:${brief.id}` })
    })

    t.test('who is bound to namespaces creates and sees keys within them alone', async (t) => {
      const scopes = ['keys:*', 'cache:read']
      const tenant = as((await issue({ scopes, namespaces: ['a', 'b'] })).key)
      await refused(t, { scopes: ['cache:read'] }, 403, /name those of the new key, among a, b/, tenant)
      await refused(t, { scopes: ['cache:read'], namespaces: ['a', 'c'] }, 403, /a, b/, tenant)
      const own = await issue({ scopes: ['cache:read'], namespaces: ['b'] }, tenant)
      const [foreign, shared, whole] = [
        await issue({ scopes, namespaces: ['c'] }), await issue({ scopes, namespaces: ['b', 'c'] }), await issue({ scopes: ['cache:read'] })
      ]
      const ids = bodyOf<ApiKeyListReply>(await tenant('GET /keys')).keys.map(({ id }) => id)
      t.ok(ids.includes(own.id))
      for (const { id } of [foreign, shared, whole]) {
        t.notOk(ids.includes(id))
        for (const request of ['GET /keys/', 'DELETE /keys/']) t.equal((await tenant(request + id)).statusCode, 404)
        t.equal((await tenant(`POST /keys/${id}/rotate`)).statusCode, 404)
      }
      t.equal((await tenant(`POST /keys/${own.id}/rotate`)).statusCode, 201)
      t.equal((await tenant(`DELETE /keys/${own.id}`)).statusCode, 200)
    })

    t.test('faulty wishes are refused, by field', async (t) => {
      const cases: [object, RegExp][] = [
        [{}, /scopes/], [{ scopes: [] }, /scopes/], [{ scopes: ['cache:reed'] }, /cache:reed/], [{ scopes: ['cache'] }, /scopes/], [{ scopes: ['Cache:read'] }, /scopes/],
        [{ scopes: ['*'], forbid: ['none:read'] }, /none:read/], [{ scopes: ['*'], namespaces: [] }, /namespaces/], [{ scopes: ['*'], namespaces: ['a/b'] }, /namespaces/],
        [{ scopes: ['*'], ttl: 1, expires_at: '2999-01-01T00:00:00Z' }, /one of them/], [{ scopes: ['*'], expires_at: '2001-01-01T00:00:00Z' }, /future/],
        [{ scopes: ['*'], expires_at: 'soon' }, /expires_at/], [{ scopes: ['*'], ttl: -1 }, /ttl/], [{ scopes: ['*'], rate_limit: 'often' }, /rate_limit/],
        [{ scopes: ['*'], name: '' }, /name/], [{ scopes: ['*'], name: 'a\u0000b' }, /name/], [{ scopes: ['*'], key: 'mine' }, /key/]
      ]
      for (const [wanted, says] of cases) await refused(t, wanted, 400, says)
      for (const overlap of [-1, 'long', 1e9]) t.equal((await administrator(`POST /keys/${(await issue({ scopes: ['*'] })).id}/rotate`, { overlap })).statusCode, 400)
      t.equal((await administrator('GET /keys?cursor=nonsense')).statusCode, 400)
    })

    t.test('the list comes in pages, from either end', async (t) => {
      const listed = async (first: string): Promise<string[]> => {
        const ids: string[] = []
        for (let url = first; url !== '';) {
          const answer = await administrator(`GET ${url}`)
          const { keys, next_cursor: next } = bodyOf<ApiKeyListReply>(answer)
          t.ok(keys.length <= 3)
          ids.push(...keys.map(({ id }) => id))
          url = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link ?? ''))?.[1] ?? ''
          t.equal(url === '', next === undefined)
        }
        return ids
      }
      const ids = await listed('/keys?limit=3')
      t.strictSame(ids, bodyOf<ApiKeyListReply>(await administrator('GET /keys')).keys.map(({ id }) => id))
      t.equal(new Set(ids).size, ids.length)
      t.strictSame(await listed('/keys?limit=3&order=newest'), ids.reverse())
      t.equal((await administrator('GET /keys?order=any')).statusCode, 400)
    })
  })
}
