import pg from 'pg'
import t from 'tap'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { send, startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

t.setTimeout(400_000)

const ROUNDS = 5
const CLIENTS = 8

void t.test('whoever records events is killed again and again: what is committed is told once, whether it was answered or not', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_DEADLINE: '1000' }
  await startService(t, { ...env, DATA_DIR: temporaryFolder(t) }) // does what is to be done about them
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  await client.connect()
  t.teardown(async () => { await client.end() })
  const ids = async (query: string): Promise<string[]> => (await client.query<{ id: string }>(query)).rows.map(({ id }) => id).sort()

  const answered: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const recorder = await startService(t, { ...env, DATA_DIR: temporaryFolder(t), WORKER: 'false' })
    const over = new AbortController()
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (!over.signal.aborted) {
        // Cut off in the middle of anything.
        const reply = await send<{ id: string }>(`${recorder.url}/items`, 'POST', { round }).catch(() => undefined)
        if (reply?.status === 201) answered.push(reply.body.id)
      }
    })
    await eventually(() => answered.length >= 40 * (round + 1), 'some are recorded', 20_000)
    recorder.kill('SIGKILL')
    await recorder.ended
    over.abort()
    await Promise.all(clients)
  }

  const stored = await ids('SELECT id::text AS id FROM items')
  t.ok(stored.length >= answered.length)
  const known = new Set(stored)
  t.strictSame(answered.filter((id) => !known.has(id)), [], 'what was answered is stored')
  await eventually(async () => (await ids("SELECT resource AS id FROM audit_log WHERE action = 'item.created'")).length >= stored.length, 'each is told of', 30_000)
  t.strictSame(await ids("SELECT replace(resource, 'items/', '') AS id FROM audit_log WHERE action = 'item.created'"), stored, 'each once, and no other')
  t.strictSame(await ids("SELECT replace(subject, 'items/', '') AS id FROM events WHERE type = 'item.created'"), stored)
  t.comment(`${stored.length} stored, ${answered.length} answered`)
})
