/** Real faults between the service, in a process of its own, and PostgreSQL, while orders come in: each is stored once, or refused and not stored. */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { eventually } from './support/caches.js'
import { type Moment, Proxy } from './support/proxy.js'
import { kill } from '../tools/servers/server-process.js'
import { databaseUrl, type Owner, redisUrl, startPostgres } from './support/servers.js'
import { send, type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

interface Answer { name: string, status: number, type: string | undefined, retryAfter: string | null }

/** Puts an item in, and says what was answered. */
async function put (service: Service, name: string): Promise<Answer> {
  const response = await fetch(`${service.url}/items`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }), signal: AbortSignal.timeout(20_000)
  })
  const { type } = await response.json() as { type?: string }
  return { name, status: response.status, type, retryAfter: response.headers.get('retry-after') }
}

const open = async (owner: Owner, url: string, env: Record<string, string> = {}): Promise<Service> =>
  await startService(owner, { DATABASE_URL: url, DATA_DIR: temporaryFolder(owner), WORKER: 'false', ...env })

/** How often each name is stored, and how many events there are of them. */
async function stored (client: pg.Client): Promise<{ counts: Map<string, number>, events: number }> {
  const { rows } = await client.query<{ name: string, count: number }>("SELECT body::json ->> 'name' AS name, count(*)::int AS count FROM items GROUP BY 1")
  const { rows: [events] } = await client.query<{ count: number }>("SELECT count(*)::int AS count FROM events WHERE type = 'item.created'")
  return { counts: new Map(rows.map(({ name, count }) => [name, count])), events: events?.count ?? 0 }
}

async function client (owner: Owner, url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  owner.teardown(() => client.end())
  return client
}

/** What was acknowledged is there once, what was refused is not, and nobody knows of what is said to be unknown. */
function check (test: Test, answers: readonly Answer[], { counts, events }: { counts: Map<string, number>, events: number }): void {
  test.strictSame(answers.filter(({ status }) => status !== 201 && status !== 503), [], 'nothing but success and 503')
  test.strictSame(answers.filter(({ status, retryAfter }) => status === 503 && retryAfter === null), [], 'each 503 says when to come again')
  test.strictSame(answers.filter(({ status, name }) => status === 201 && counts.get(name) !== 1), [], 'nothing is lost, nothing doubled')
  test.strictSame(answers.filter(({ type, name }) => type === '/problems/unavailable' && counts.has(name)), [], 'what was refused was not done')
  test.equal(events, [...counts.values()].reduce((sum, count) => sum + count, 0), 'as many events as items')
}

t.test('connections that are cut around the commit', async (t) => {
  const url = await databaseUrl(t)
  const proxy = await Proxy.start(t, Number(new URL(url).port))
  const service = await open(t, proxy.through(url))
  const direct = await client(t, url)
  const answers: Answer[] = []
  const MOMENTS: Moment[] = ['before', 'during', 'after']
  for (let round = 0; round < 200; round++) {
    proxy.cut({ statement: /^COMMIT/, moment: MOMENTS[round % 3] as Moment, within: /INSERT INTO items/ })
    // Whoever is refused comes again.
    for (let answer; answer?.status !== 201;) {
      answer = await put(service, `order ${round}`)
      if (answer.status !== 201) await delay(100)
      answers.push(answer)
    }
  }
  t.equal(proxy.cuts, 200)
  const { counts, events } = await stored(direct)
  t.equal(counts.size, 200)
  t.strictSame([...counts].filter(([, count]) => count !== 1), [], 'each order is there once')
  t.equal(events, 200)
  t.strictSame(answers.filter(({ type }) => type === '/problems/commit-unknown'), [], 'and what became of each was found out')
  const metrics = await (await fetch(`${service.url}/metrics`)).text()
  const metric = (name: string) => Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\d+)$`, 'm').exec(metrics)?.[1])
  t.equal(metric('larder_database_lost_commits_total{outcome="committed"}') + metric('larder_database_lost_commits_total{outcome="aborted"}'), 200)
  t.ok(metric('larder_retries_total{dependency="postgres",outcome="succeeded"}') > 0)
  t.match(service.log(), 'an attempt failed: it is made again')
})

t.test('the cache on Redis: a connection that is cut is not seen outside, and is counted', async (t) => {
  const url = await redisUrl(t)
  const proxy = await Proxy.start(t, Number(new URL(url).port), 'redis')
  const service = await open(t, await databaseUrl(t), { REDIS_URL: proxy.through(url), CACHE_DEADLINE: '1000' })
  const read = async (key: string) => (await send(`${service.url}/api/cache/get/${key}?backend=redis`)).status
  const metrics = async () => await (await fetch(`${service.url}/metrics`)).text()
  await eventually(async () => await read('before') === 200, 'Redis is asked')
  proxy.cut({ statement: /^get larder:api:entry:default:cut/i, moment: 'after' })
  t.equal(await read('cut'), 200)
  t.match(await metrics(), /^larder_retries_total\{dependency="redis",outcome="succeeded"\} [1-9]/m)
  t.match(await metrics(), /^larder_retry_budget\{dependency="redis"\} \d/m)
  const { headers } = await send(`${service.url}/config/retry.attempts`)
  const change = await fetch(`${service.url}/config/retry.attempts`, {
    method: 'PUT', headers: { 'content-type': 'application/json', 'if-match': headers.get('etag') ?? '' }, body: JSON.stringify({ value: 1 })
  })
  t.equal(change.status, 200)
  await eventually(async () => await read('again') === 200, 'it is connected')
  proxy.cut({ statement: /^get larder:api:entry:default:once/i, moment: 'after' })
  t.equal(await read('once'), 503, 'a single attempt is none more')
})

t.test('a server that is restarted under load', async (t) => {
  const server = await startPostgres(t)
  const service = await open(t, server.url)
  const answers: Answer[] = []
  const over = new AbortController()
  let next = 0
  const callers = Array.from({ length: 16 }, async () => {
    while (!over.signal.aborted) {
      const answer = await put(service, `order ${next++}`)
      answers.push(answer)
      if (answer.status !== 201) await delay(50)
    }
  })
  const acknowledged = () => answers.filter(({ status }) => status === 201).length
  const more = async (count: number) => {
    const until = acknowledged() + count
    await eventually(() => acknowledged() > until, 'orders are taken', 20_000)
  }
  await more(100)
  await server.restart() // SIGINT: fast
  await more(100)
  for (let crash = 0; crash < 3; crash++) {
    kill(server.pid as number, 'SIGQUIT') // immediate
    await eventually(() => server.pid === undefined, 'it has ended', 10_000)
    await server.restart()
    await more(100)
  }
  const one = await client(t, server.url)
  // One backend that dies takes all of them along.
  const { rows: [victim] } = await one.query<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'larder' LIMIT 1")
  kill(victim?.pid as number, 'SIGKILL')
  await more(100)
  over.abort()
  await Promise.all(callers)
  check(t, answers, await stored(await client(t, server.url)))
  t.comment(['201', '/problems/unavailable', '/problems/commit-unknown'].map((kind) => `${kind}: ${answers.filter(({ status, type }) => (type ?? String(status)) === kind).length}`).join(', '))
  t.equal((await fetch(`${service.url}/health`)).status, 200)
})

t.test('a server that takes eight connections, and five hundred requests at once', async (t) => {
  const url = new URL(await databaseUrl(t))
  const administrator = await client(t, url.href)
  const role = `few_${url.pathname.slice(-12)}`
  await administrator.query(`CREATE ROLE ${role} LOGIN CONNECTION LIMIT 8`)
  t.teardown(async () => {
    await administrator.query(`DROP OWNED BY ${role}`)
    await administrator.query(`DROP ROLE ${role}`)
  })
  await administrator.query(`GRANT ALL ON DATABASE ${url.pathname.slice(1)} TO ${role}; GRANT ALL ON SCHEMA public TO ${role}`)
  url.username = role
  const service = await open(t, url.href)
  const burst = async (count: number, name: string) => await Promise.all(Array.from({ length: count }, async (_, at) => await put(service, `${name} ${at}`)))

  const begun = performance.now()
  const answers = await burst(500, 'burst')
  t.ok(performance.now() - begun < 20_000, 'nobody waits for ever')
  await administrator.query('BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE')
  const blocked = burst(500, 'blocked')
  await delay(4000)
  await administrator.query('COMMIT')
  answers.push(...await blocked)
  t.ok((await blocked).some(({ status }) => status === 503), 'those who would wait too long are refused')
  const after = await burst(100, 'after')
  t.strictSame(after.filter(({ status }) => status !== 201), [], 'all are served as soon as that is over')
  check(t, [...answers, ...after], await stored(administrator))
  t.notMatch(answers.map((answer) => JSON.stringify(answer)).join(), /53300|too many/)
})
