import { randomUUID } from 'node:crypto'
import t from 'tap'
import { eventually } from './support/caches.js'
import { startPostgres } from './support/servers.js'
import { type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

interface Answer { status: number, body: string, isReplayed: boolean, retryAfter: string | null }

async function post ({ url }: Service, path: string, body: unknown, key?: string): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...(key !== undefined && { 'idempotency-key': key }) }, body: JSON.stringify(body)
  })
  const { status, headers } = response
  return { status, body: await response.text(), isReplayed: headers.get('idempotency-replayed') === 'true', retryAfter: headers.get('retry-after') }
}

t.test('over the embedded database a killed process leaves each request done once or not at all', { timeout: 120_000 }, async (t) => {
  const env = { DATA_DIR: temporaryFolder(t), SAMPLE_DATA: 'false' }
  const run = randomUUID()
  const numbers = Array.from({ length: 30 }, (_, i) => i)
  const answered = new Map<number, Answer>()
  const doomed = await startService(t, env)
  await Promise.all(numbers.map(async (n) => {
    try {
      answered.set(n, await post(doomed, '/items', { n }, `${run}-${n}`))
      if (answered.size === 5) doomed.kill('SIGKILL')
    } catch {
      // Its connection broke: whether it was done is what the repetition finds out.
    }
  }))
  t.ok(answered.size < numbers.length, `${answered.size} of ${numbers.length} were answered`)
  const next = await startService(t, env)
  await Promise.all(numbers.map(async (n) => {
    let answer: Answer | undefined
    await eventually(async () => {
      answer = await post(next, '/items', { n }, `${run}-${n}`)
      return answer.status === 201
    }, `request ${n} is finished when the lease of the dead is over`, 60_000)
    const before = answered.get(n)
    if (before?.status === 201) t.same(answer, { ...before, isReplayed: true })
  }))
  const { items } = await (await fetch(`${next.url}/items?nocache=true`)).json() as { items: { n: number }[] }
  t.strictSame(items.map(({ n }) => n).sort((a, b) => a - b), numbers, 'each is done once')
})

t.test('while PostgreSQL is away, nothing that was to be done once is begun', { timeout: 60_000 }, async (t) => {
  const server = await startPostgres(t)
  const service = await startService(t, { DATABASE_URL: server.url, DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'false' })
  const key = randomUUID()
  t.equal((await post(service, '/api/cache/increment', { key: 'n' })).status, 200)
  await server.stop()
  const refused = await post(service, '/api/cache/increment', { key: 'n' }, key)
  t.equal(refused.status, 503)
  t.ok(refused.retryAfter)
  t.match(await post(service, '/api/cache/increment', { key: 'n' }), { status: 200, body: /"value":2/ }, 'without a key the cache goes on')
  await server.restart()
  let answer: Answer | undefined
  await eventually(async () => {
    answer = await post(service, '/api/cache/increment', { key: 'n' }, key)
    return answer.status === 200
  }, 'it is done when PostgreSQL is back', 20_000)
  t.match(answer, { body: /"value":3/, isReplayed: false })
  t.match(await post(service, '/api/cache/increment', { key: 'n' }, key), { body: answer!.body, isReplayed: true })
})
