import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { eventually } from './support/caches.js'
import { databaseUrl, startRedis } from './support/servers.js'
import { type Service, startService } from './support/service.js'

interface Answer { status: number, body: string, location: string | null, isReplayed: boolean, retryAfter: string | null }

async function post (at: Service, path: string, key: string, body: unknown): Promise<Answer> {
  const response = await fetch(`${at.url}${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': `"${key}"` }, body: JSON.stringify(body)
  })
  const { status, headers } = response
  return {
    status, body: await response.text(), location: headers.get('location'), isReplayed: headers.get('idempotency-replayed') === 'true', retryAfter: headers.get('retry-after')
  }
}

t.test('requests with an Idempotency-Key at two processes', { timeout: 120_000 }, async (t) => {
  const url = await databaseUrl(t)
  const redis = await startRedis(t)
  const env = { DATABASE_URL: url, REDIS_URL: redis.url, CACHE_DEADLINE: '1000', SECRET_KEY: 'a-secret-of-this-test-alone-0123456789' }
  const [a, b] = await Promise.all([startService(t, env), startService(t, env)])
  const database = new pg.Pool({ connectionString: url, max: 2 })
  t.teardown(() => database.end())
  const itemsOf = async (run: string): Promise<number> =>
    Number((await database.query<{ n: string }>('SELECT count(*) AS n FROM items WHERE body LIKE $1', [`%${run}%`])).rows[0]?.n)

  t.test('a hundred at once have one effect, and all who are answered get the same', async (t) => {
    for (const [path, bodyOf] of [['/items', (run: string) => ({ run })], ['/api/cache/increment', (run: string) => ({ key: run, backend: 'redis' })]] as const) {
      const run = randomUUID()
      const all = await Promise.all(Array.from({ length: 100 }, async (_, i) => await post(i % 2 === 0 ? a : b, path, run, bodyOf(run))))
      const done = all.filter(({ status }) => status < 300)
      t.equal(done.filter(({ isReplayed }) => !isReplayed).length, 1, `${path}: one of them is the first`)
      t.equal(new Set(done.map(({ body, location, status }) => `${status} ${location} ${body}`)).size, 1, 'the others get its answer')
      for (const other of all.filter(({ status }) => status >= 300)) t.match(other, { status: 409, retryAfter: '1', body: /request-in-progress/ })
      if (path === '/items') t.equal(await itemsOf(run), 1)
      else t.match(await post(a, path, `${run}-next`, bodyOf(run)), { body: /"value":2/ })
    }
  })

  t.test('the same key with another body is refused at the other process, and nothing is done', async (t) => {
    const run = randomUUID()
    t.equal((await post(a, '/items', run, { run })).status, 201)
    t.equal((await post(b, '/items', run, { run, more: 1 })).status, 422)
    t.equal(await itemsOf(run), 1)
  })

  t.test('a secret is shown again by the other process', async (t) => {
    const first = await post(a, '/keys', 'a-key', { name: 'k', scopes: ['items:read'] })
    t.equal(first.status, 201)
    t.same(await post(b, '/keys', 'a-key', { name: 'k', scopes: ['items:read'] }), { ...first, isReplayed: true })
  })

  t.test('Redis may lose everything', async (t) => {
    const run = randomUUID()
    const first = await post(a, '/items', run, { run })
    await redis.restart()
    await eventually(async () => (await post(b, '/items', run, { run })).isReplayed, 'the answer is there')
    t.same(await post(b, '/items', run, { run }), { ...first, isReplayed: true })
  })

  t.test('a process that is killed in the middle leaves each request done once or not at all, and a repetition finishes it', async (t) => {
    const run = randomUUID()
    const numbers = Array.from({ length: 60 }, (_, i) => i)
    const answered = new Map<number, Answer>()
    const doomed = await startService(t, env)
    await Promise.all(numbers.map(async (n) => {
      try {
        answered.set(n, await post(doomed, '/items', `${run}-${n}`, { run, n }))
        if (answered.size === 10) doomed.kill('SIGKILL')
      } catch {
        // Its connection broke: whether it was done is what the repetition finds out.
      }
    }))
    const committed = await itemsOf(run)
    t.ok(answered.size < numbers.length, `${answered.size} of ${numbers.length} were answered, ${committed} done`)
    await Promise.all(numbers.map(async (n) => {
      let answer: Answer | undefined
      await eventually(async () => {
        answer = await post(b, '/items', `${run}-${n}`, { run, n })
        return answer.status === 201
      }, `request ${n} is finished when the lease of the dead is over`, 40_000)
      const before = answered.get(n)
      if (before?.status === 201) t.same(answer, { ...before, isReplayed: true })
    }))
    t.equal(await itemsOf(run), numbers.length, 'each is done once')
  })
})
