import t, { type Test } from 'tap'
import { eventually } from '../support/caches.js'
import { eventMessages } from '../support/event-messages.js'
import { databaseUrl, startRedis } from '../support/servers.js'
import { send, startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

interface Heard { type: string, subject: string, data: { state: string, held: boolean, outages: number, missed: number, pid: number } }

/** What the stream says of this breaker from now on. */
async function listen (t: Test, url: string): Promise<Heard[]> {
  const gone = new AbortController()
  const response = await fetch(url, { signal: gone.signal })
  const heard: Heard[] = []
  const reading = (async () => {
    for await (const field of eventMessages(response)) {
      const data = field('data')
      const told = data === undefined ? undefined : JSON.parse(data) as Heard
      if (told?.subject === 'breakers/redis') heard.push(told)
    }
  })().catch((error: unknown) => { if (!gone.signal.aborted) throw error as Error })
  t.teardown(async () => {
    gone.abort()
    await reading
  })
  return heard
}

interface Told { name: string, state: string, held: boolean, outages: number }

t.test('the breaker of a Redis that hangs, dies and comes back', async (t) => {
  const redis = await startRedis(t)
  const service = await startService(t, { DATABASE_URL: await databaseUrl(t), REDIS_URL: redis.url, DATA_DIR: temporaryFolder(t), WORKER: 'false', CACHE_DEADLINE: '300' })
  const told = async () => (await send<{ breakers: Told[] }>(`${service.url}/admin/breakers`)).body.breakers.find(({ name }) => name === 'redis')!
  let count = 0
  const read = async (): Promise<number> => (await send(`${service.url}/api/cache/get/absent-${count++}?backend=redis`)).status
  /** Asks the cache again and again meanwhile, so that there is something to be let through. */
  const comesTo = async (state: string): Promise<Told> => {
    let last: Told | undefined
    const asking: Promise<number>[] = []
    await eventually(async () => {
      asking.push(read())
      last = await told()
      return last.state === state
    }, `${state}`, 20_000)
    await Promise.all(asking)
    return last!
  }

  const heard = await listen(t, `${service.url}/events?types=breaker.*`)
  await eventually(async () => await read() === 200, 'Redis is asked')
  t.match(await told(), { state: 'closed', held: false, outages: 0 })
  redis.pause()
  t.match(await comesTo('open'), { state: 'open', held: false })
  t.ok((await told()).outages >= 5)
  t.match(await comesTo('half-open'), { held: false }, 'one is let through, and waits for an answer')
  redis.resume()
  t.match(await comesTo('closed'), { outages: 0 })
  await eventually(() => heard.length >= 2, 'both are told', 20_000)
  t.match(heard, [
    { type: 'breaker.opened', subject: 'breakers/redis', data: { state: 'open', held: false, outages: 5, missed: 0 } },
    { type: 'breaker.closed', subject: 'breakers/redis', data: { state: 'closed', held: false, outages: 0, pid: Number } }
  ], 'and nothing of what it has seen in between')

  await redis.kill()
  t.match(await comesTo('open'), { held: false })
  t.equal((await send(`${service.url}/admin/breakers/redis/open`, 'POST')).status, 200)
  await redis.restart()
  await eventually(async () => (await send(`${service.url}/health`)).status === 200, 'the server itself is back', 20_000)
  t.equal(await read(), 503, 'what is held is not closed by that')
  t.match(await told(), { state: 'open', held: true })
  t.match((await send(`${service.url}/admin/breakers/redis/close`, 'POST')).body, { state: 'closed', held: false, outages: 0 })
  await eventually(async () => await read() === 200, 'it is asked again', 20_000)
  await eventually(() => heard.slice(2).reduce((sum, { data: { missed } }) => sum + 1 + missed, 0) >= 3, 'what was done by hand is told as well', 20_000)
  t.match(heard.at(-1), { type: 'breaker.closed', data: { held: false } })
  t.match(service.log(), /The breaker of redis is open.*The breaker of redis is closed.*The breaker of redis is held open/s)
})
