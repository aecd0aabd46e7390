import t from 'tap'
import { eventually } from '../support/caches.js'
import { temporaryFolder } from '../support/durable-caches.js'
import { databaseUrl } from '../support/servers.js'
import { send, type Service, startService } from '../support/service.js'

interface Found { found: boolean, cache_item?: { value: unknown } }
interface Ready { status: string, parts: Record<string, { status: string, required: boolean }> }

const get = async (at: Service, key: string) => await send<Found>(`${at.url}/api/cache/get/${key}`)
const set = async (at: Service, key: string, strategy: string) => await send(`${at.url}/api/cache/set`, 'POST', { key, value: key, strategy, metadata: { tags: ['t'] } })
const remove = async (at: Service, key: string) => await send<Found>(`${at.url}/api/cache/delete/${key}`, 'DELETE')
const journal = async (at: Service) => (await send<Ready>(`${at.url}/health/ready`)).body.parts['journal']

for (const [name, signal] of [['ends', 'SIGTERM'], ['is killed', 'SIGKILL']] as const) {
  t.test(`a process whose journal another still has takes it up when that one ${name}`, async (t) => {
    const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t) }
    const before = await startService(t, env)
    for (const key of ['kept', 'deleted', 'behind']) t.equal((await set(before, key, key === 'behind' ? 'write_behind' : 'write_through')).status, 200)
    const after = await startService(t, env)

    t.match(await journal(after), { status: 'down', required: false }, 'it says that it has not got it')
    t.match(after.log(), /is kept by another Larder/)
    t.equal((await send<Ready>(`${after.url}/health/ready`)).body.status, 'ready', 'and does not wait for the other to end')
    const refused = {
      'a deletion': await remove(after, 'deleted'),
      'an invalidation': await send(`${after.url}/api/cache/invalidate?backend=memory`, 'POST', { tags: ['t'] }),
      'a clear': await send(`${after.url}/api/cache/clear?backend=memory`, 'POST'),
      'a durable write': await set(after, 'more', 'write_through'),
      'a write over what may be durable': await set(after, 'kept', 'lru'),
      'a read of what may be there': await get(after, 'kept'),
      'a list': await send(`${after.url}/api/cache/keys`),
      statistics: await send(`${after.url}/api/cache/stats`)
    }
    for (const [what, { status, headers, body }] of Object.entries(refused)) {
      t.equal(status, 503, what)
      t.ok(headers.get('retry-after'), what)
      t.match(body, { detail: /DATA_DIR of its own/ }, what)
    }
    t.equal((await send(`${after.url}/api/cache/set`, 'POST', { key: 'k', value: 1, backend: 'database' })).status, 200, 'the other backends do as ever')
    t.equal((await send(`${after.url}/products`)).status, 200)
    t.match((await get(before, 'deleted')).body, { found: true }, 'nothing that was refused has happened')

    before.kill(signal)
    await eventually(async () => (await journal(after))?.status === 'up', 'it has the journal', 20_000)
    t.match(after.log(), /has been taken up/)
    for (const key of ['kept', 'behind']) t.match((await get(after, key)).body, { found: true, cache_item: { value: key } })
    t.match((await remove(after, 'deleted')).body, { found: true })
    t.equal((await set(after, 'kept', 'lru')).status, 200)

    after.kill('SIGKILL')
    const last = await startService(t, env)
    await eventually(async () => (await journal(last))?.status === 'up', 'the last one has it', 20_000)
    t.match((await get(last, 'deleted')).body, { found: false }, 'an acknowledged deletion holds')
    t.match((await get(last, 'kept')).body, { found: false }, 'and so does what replaced a durable entry')
    t.match((await get(last, 'behind')).body, { found: true })
  })
}

t.test('where there was nothing durable, nobody waits for a journal', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t) }
  const [a, b] = [await startService(t, env), await startService(t, env)]
  t.equal((await set(a, 'mine', 'write_through')).status, 200)
  t.match(await set(b, 'yours', 'write_behind'), { status: 503, body: { detail: /is kept by another Larder/ } })
  t.equal((await set(b, 'plain', 'lru')).status, 200)
  t.match((await remove(b, 'plain')).body, { found: true })
  t.match(await journal(b), { status: 'up' })
})
