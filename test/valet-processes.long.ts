import t from 'tap'
import { Redis } from 'ioredis'
import { eventually } from './support/caches.js'
import { startPostgres, startRedis } from './support/servers.js'
import { startService, type Service } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

interface Issued { token: string, id: string }

const ADMINISTRATOR = 'the-key-of-the-administrator'

async function ask (url: string, credential: string, method = 'GET', body?: object): Promise<Response> {
  return await fetch(url, {
    method,
    headers: { authorization: `Bearer ${credential}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) })
  })
}

async function issue (at: Service, wanted: object, credential = ADMINISTRATOR): Promise<Issued> {
  const response = await ask(`${at.url}/valet/token`, credential, 'POST', wanted)
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return await response.json() as Issued
}

const use = async (at: Service, token: string): Promise<number> => (await ask(`${at.url}/items`, token)).status

t.test('valet keys of two services on one PostgreSQL and one Redis', async (t) => {
  const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t)])
  const env = () => ({
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    CACHE_DEADLINE: '1000',
    CACHE_AUTH_ENABLED: 'true',
    CACHE_API_KEY: ADMINISTRATOR,
    SECRET_KEY: 'a-secret-that-both-of-them-have',
    DATA_DIR: temporaryFolder(t),
    LOG_LEVEL: 'info'
  })
  const [a, b] = await Promise.all([startService(t, env()), startService(t, env())])
  const tokens: string[] = []
  const issued = async (...args: Parameters<typeof issue>): Promise<Issued> => {
    const one = await issue(...args)
    tokens.push(one.token)
    return one
  }

  t.test('are issued by one and used with the other', async (t) => {
    for (const [one, other] of [[a, b], [b, a]] as const) t.equal(await use(other, (await issued(one, { scopes: ['items:read'] })).token), 200)
  })

  t.test('are over in both within a second when one revokes them, with what comes from them', async (t) => {
    const root = await issued(a, { scopes: ['items:read', 'valet:issue'] })
    const child = await issued(b, { scopes: ['items:read'] }, root.token)
    t.strictSame([await use(b, root.token), await use(b, child.token)], [200, 200])
    t.equal((await ask(`${a.url}/valet/tokens/${root.id}`, ADMINISTRATOR, 'DELETE')).status, 204)
    t.strictSame([await use(a, root.token), await use(a, child.token)], [401, 401], 'at once where it was said')
    await eventually(async () => await use(b, root.token) === 401 && await use(b, child.token) === 401, 'B has heard of it', 5000)
  })

  t.test('are counted over both: of fifty requests at once with one use, one is answered', async (t) => {
    const { token } = await issued(a, { scopes: ['items:read'], max_uses: 1 })
    const answers = await Promise.all(Array.from({ length: 50 }, async (_, n) => await ask(`${n % 2 === 0 ? a.url : b.url}/items`, token)))
    const kinds = await Promise.all(answers.map(async (answer) => answer.ok ? 'answered' : (await answer.json() as { type: string }).type))
    t.equal(kinds.filter((kind) => kind === 'answered').length, 1)
    t.equal(kinds.filter((kind) => kind === '/problems/valet-key-exhausted').length, 49)
  })

  t.test('go on without one failure while their signing key is replaced, again and again', async (t) => {
    const statuses: number[] = []
    const kids = new Set<string>()
    const load = { isOver: false }
    const caller = async (from: Service, to: Service): Promise<void> => {
      let last: string | undefined
      while (!load.isOver) {
        const { token } = await issue(from, { scopes: ['items:read'] })
        kids.add((JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: string }).kid)
        for (const one of [token, last ?? token]) for (const at of [to, from]) statuses.push(await use(at, one))
        last = token
      }
    }
    const callers = [caller(a, b), caller(b, a), caller(a, b), caller(b, a)]
    for (let n = 0; n < 10; n++) {
      const response = await ask(`${n % 2 === 0 ? a.url : b.url}/valet/rotate`, ADMINISTRATOR, 'POST')
      t.equal(response.status, 200)
      const { kid } = await response.json() as { kid: string }
      await eventually(() => kids.has(kid), 'somebody signs with the new one')
    }
    load.isOver = true
    await Promise.all(callers)
    t.strictSame([...new Set(statuses)], [200], `${statuses.length} requests under ${kids.size} keys`)
  })

  t.test('are known to one that is killed and comes again, and so are revocations, whatever Redis forgets', async (t) => {
    const [good, bad] = [await issued(a, { scopes: ['items:read'] }), await issued(a, { scopes: ['items:read'] })]
    await ask(`${a.url}/valet/tokens/${bad.id}`, ADMINISTRATOR, 'DELETE')
    const client = new Redis(redis.url)
    await client.flushall()
    client.disconnect()
    const c = await startService(t, env())
    for (const at of [a, b, c]) {
      await eventually(async () => await use(at, bad.token) === 401, 'revoked', 5000)
      t.equal(await use(at, good.token), 200)
    }
    c.kill('SIGKILL')
    const d = await startService(t, env())
    t.strictSame([await use(d, good.token), await use(d, bad.token)], [200, 401])
  })

  t.test('hold for some seconds while PostgreSQL hangs, and then nobody is let in, but for what is public and the administrator', async (t) => {
    const [plain, counted] = [await issued(a, { scopes: ['metrics:read'] }), await issued(a, { scopes: ['metrics:read'], max_uses: 100 })]
    const metrics = async (at: Service, token: string): Promise<Response> => await ask(`${at.url}/metrics`, token)
    for (const { token } of [plain, counted]) t.equal((await metrics(b, token)).status, 200)
    postgres.pause()
    t.equal((await metrics(b, plain.token)).status, 200, 'what was read last is trusted')
    const refused = await metrics(b, counted.token)
    t.equal(refused.status, 503, 'a use that cannot be counted is none')
    t.ok(refused.headers.get('retry-after'))
    await eventually(async () => (await metrics(b, plain.token)).status === 503, 'the bound of five seconds is over', 15_000)
    t.equal((await fetch(`${b.url}/health/live`)).status, 200)
    t.equal((await ask(`${b.url}/health/live`, plain.token)).status, 200)
    t.equal((await metrics(b, ADMINISTRATOR)).status, 200)
    postgres.resume()
    for (const { token } of [plain, counted]) await eventually(async () => (await metrics(b, token)).status === 200, 'all is well again', 15_000)
  })

  t.test('are in no log', async (t) => {
    for (const { log } of [a, b]) t.notOk(tokens.some((token) => log().includes(token.split('.')[2]!)))
    t.ok(tokens.length > 5)
  })
})
