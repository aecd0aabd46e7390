import { demonstrateAlone } from './support/demonstrate.js'
import { ask, type Address } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

interface Setting { value: unknown, source: string, revision: number }
interface Change { revision: number, value?: unknown, action: string }

const KEY = 'samples.posts.list_ttl'

const demo: Demo = {
  name: 'configuration',
  title: 'settings that change while all processes run',

  async run (stage) {
    const postgres = await stage.postgres()
    const env = { DATABASE_URL: postgres.url, SAMPLE_DATA: 'true' }
    const [a, b] = await Promise.all([stage.larder('Larder A', env), stage.larder('Larder B', env)])
    const at = async (larder: Address): Promise<Setting> => (await ask<Setting>(larder, `GET /config/${KEY}`)).body
    /** Seconds for which the list of posts is cached when it is loaded now. */
    const ttl = async (larder: Address): Promise<number> =>
      Number(/ttl=(\d+)/.exec((await ask(larder, 'GET /api/posts/', { headers: { 'cache-control': 'no-cache' } }), await ask(larder, 'GET /api/posts/')).headers.get('cache-status') ?? '')?.[1])

    stage.heading('Every setting, and where it comes from')
    const { body: { settings } } = await stage.show<{ settings: (Setting & { key: string })[] }>(a, 'GET /config')
    stage.claim('each says its source', settings.length > 0 && settings.every(({ source }) => ['default', 'environment', 'store'].includes(source)), `${settings.length} settings`)
    const url = settings.find(({ key }) => key === 'DATABASE_URL')
    stage.claim('the address of the database comes from the environment', url?.source === 'environment')
    const before = await stage.show<Setting>(a, `GET /config/${KEY}`, {}, ['etag'])
    stage.claim('posts are cached for 90 seconds, by default', before.body.value === 90 && before.body.source === 'default' && [89, 90].includes(await ttl(a)))

    stage.heading('Nobody undoes another’s change unseen')
    stage.claim('a change without If-Match: 428', (await stage.show(a, `PUT /config/${KEY}`, { body: { value: 20 } })).status === 428)
    const etag = before.headers.get('etag') ?? ''
    const changed = await stage.show<Setting>(a, `PUT /config/${KEY}`, { headers: { 'if-match': etag }, body: { value: 20 } }, ['etag'])
    stage.claim('with the ETag that was read: 200', changed.status === 200 && changed.body.value === 20)
    stage.claim('with the same ETag again: 412', (await stage.show(a, `PUT /config/${KEY}`, { headers: { 'if-match': etag }, body: { value: 30 } })).status === 412)
    stage.claim('a value that does not fit: 400', (await stage.show(a, `PUT /config/${KEY}`, { headers: { 'if-match': '*' }, body: { value: 'soon' } })).status === 400)

    stage.heading('A change reaches every process within a second, and holds there')
    await ask(a, `PUT /config/${KEY}`, { headers: { 'if-match': '*' }, body: { value: 5 } })
    const arrived = await within(1, async () => (await at(b)).value === 5)
    stage.claim('B has it', arrived !== undefined, arrived === undefined ? 'not within a second' : `after ${Math.round(arrived * 1000)} ms`)
    const [ofA, ofB] = [await ttl(a), await ttl(b)]
    stage.claim('and both cache posts for five seconds', [ofA, ofB].every((seconds) => seconds === 4 || seconds === 5), `ttl=${ofA} in A, ttl=${ofB} in B`)

    stage.heading('The history, and the way back')
    const { body: { changes } } = await stage.show<{ changes: Change[] }>(b, `GET /config/${KEY}/history`)
    stage.claim('two changes, the newest first', changes.map(({ value }) => value).join() === '5,20')
    await stage.show(b, `POST /config/${KEY}/rollback`, { body: { revision: changes[1]?.revision } })
    stage.claim('the value of before is back, in A too', await within(1, async () => (await at(a)).value === 20) !== undefined)
    await stage.show(a, `PUT /config/${KEY}?dry_run=true`, { headers: { 'if-match': '*' }, body: { value: 1 } })
    stage.claim('a dry run changes nothing', (await at(a)).value === 20)

    stage.heading('PostgreSQL, which keeps the settings, is away')
    stage.command(`kill -INT ${postgres.pid}    # PostgreSQL`)
    await postgres.stop()
    const isSaid = await within(10, async () => (await ask<{ stale: boolean }>(b, 'GET /config')).body.stale)
    stage.claim('they say that they may have missed something', isSaid !== undefined, isSaid === undefined ? 'not within 10 s' : `"stale":true after ${isSaid.toFixed(1)} s`)
    const away = await stage.show<Setting>(b, `GET /config/${KEY}`)
    stage.claim('the last good value holds on', away.status === 200 && away.body.value === 20)
    stage.claim('in both', (await at(a)).value === 20)
    const refused = await stage.show(a, `PUT /config/${KEY}`, { headers: { 'if-match': '*' }, body: { value: 7 } }, ['retry-after'])
    stage.claim('a change is refused, and not half made: 503 with Retry-After', refused.status === 503 && refused.headers.has('retry-after') && (await at(a)).value === 20)
    await postgres.restart()
    const back = await within(10, async () => (await ask(a, `PUT /config/${KEY}`, { headers: { 'if-match': '*' }, body: { value: 8 } })).status === 200)
    stage.claim('when it is back, changes are made again', back !== undefined, back === undefined ? 'not within 10 s' : `after ${back.toFixed(1)} s`)
    const heard = await within(10, async () => (await at(b)).value === 8)
    stage.claim('and heard of in the other process', heard !== undefined, heard === undefined ? 'not within 10 s' : `after ${heard.toFixed(1)} s`)
  }
}

export default demo
await demonstrateAlone(import.meta.url, demo)
