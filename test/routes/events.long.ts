import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { send, startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

t.setTimeout(400_000)

/** Listens over a connection of its own, which may be cut at any byte. */
async function listen (t: Test, url: string, lastId?: string): Promise<{ ids: () => string[], cut: () => void, response: IncomingMessage }> {
  const asked = request(`${url}/events`, { agent: false, headers: lastId === undefined ? {} : { 'last-event-id': lastId } }).end()
  asked.on('error', () => {}) // it is cut
  const [response] = await once(asked, 'response') as [IncomingMessage]
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('error', () => {})
  const cut = (): void => { asked.destroy() }
  t.teardown(cut)
  // Of what was cut in the middle a listener knows nothing.
  return { ids: () => text.split('\n\n').slice(0, -1).flatMap((message) => /^id: (.*)$/m.exec(message)?.[1] ?? []), cut, response }
}

t.test('two processes', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_DEADLINE: '1000' }
  const [one, other] = await Promise.all([startService(t, { ...env, DATA_DIR: temporaryFolder(t) }), startService(t, { ...env, DATA_DIR: temporaryFolder(t) })])
  const publish = async (n: number, padding = '') => (await send<{ id: string }>(`${n % 2 === 0 ? one.url : other.url}/events`, 'POST', { channel: `room${n % 5}`, event: { n, padding } })).body.id

  await t.test('a listener that is cut off again and again, and comes back to either, hears each event once', async (t) => {
    const heard: string[] = []
    const whole = await listen(t, one.url)
    const count = 300
    const published: string[] = []
    const publishing = (async () => { for (let n = 0; n < count; n += 5) published.push(...await Promise.all([0, 1, 2, 3, 4].map(async (i) => await publish(n + i)))) })()
    let cuts = 0
    for (let last: string | undefined; heard.length < count; cuts++) {
      const { ids, cut } = await listen(t, cuts % 2 === 0 ? one.url : other.url, last ?? (await eventuallyFirst(whole.ids)))
      if (last === undefined) heard.push(whole.ids()[0]!)
      const wanted = Math.min(count - heard.length, 7 + cuts % 23)
      await eventually(() => ids().length >= wanted, 'some events', 20_000)
      cut()
      heard.push(...ids())
      last = heard.at(-1)
    }
    await publishing
    await eventually(() => whole.ids().length >= count, 'all events', 20_000)
    t.equal(new Set(heard).size, heard.length, 'none twice')
    t.strictSame([...heard].sort(), [...published].sort(), 'and none is missing')
    t.strictSame(heard, whole.ids(), 'in the order in which one hears them that was never cut off')
    t.ok(cuts > 5)
  })

  await t.test('a listener that reads nothing delays nobody, and gets everything in the end', async (t) => {
    const slow = await listen(t, one.url)
    slow.response.pause()
    const quick = await listen(t, one.url)
    const padding = 'x'.repeat(100_000)
    // More than the buffers between here and there hold.
    for (let n = 0; n < 200; n += 10) await Promise.all(Array.from({ length: 10 }, async (_, i) => await publish(n + i, padding)))
    await eventually(() => quick.ids().length >= 200, 'another hears all', 30_000)
    slow.response.resume()
    await eventually(() => slow.ids().length >= 200, 'all of them', 30_000)
    t.strictSame(slow.ids(), quick.ids())
  })
})

async function eventuallyFirst (ids: () => string[]): Promise<string> {
  await eventually(() => ids().length > 0, 'the first event', 20_000)
  return ids()[0]!
}
