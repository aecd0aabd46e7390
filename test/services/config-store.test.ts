import t, { type Test } from 'tap'
import { RunTimeSettings } from '../../schemas/config.js'
import { ConfigStore, type ConfigStoreOptions, type SettingChanges } from '../../services/config-store.js'
import { eventually } from '../support/caches.js'
import { openDatabase } from '../support/database.js'
import { databaseUrl, startPostgres } from '../support/servers.js'

/** A database with its tables, and stores over it as so many processes would have them. */
async function prepare (t: Test, connectionString: string) {
  const { database } = await openDatabase(t, connectionString)
  const stores: ConfigStore[] = []
  t.teardown(async () => {
    await Promise.all(stores.map((store) => store.close()))
  })
  const logged: string[] = []
  const open = async (options: Partial<ConfigStoreOptions> = {}) => {
    const log = { warn: (_: object, message: string) => { logged.push(message) }, info: (message: string) => { logged.push(message) } }
    const store = new ConfigStore({ database, schema: RunTimeSettings, log, ...options })
    stores.push(store)
    await store.load()
    store.watch()
    return store
  }
  return { database, open, logged }
}

/** The next change that a store announces. */
function next (store: ConfigStore): Promise<SettingChanges> {
  return new Promise((resolve) => {
    const stop = store.on((changes) => {
      stop()
      resolve(changes)
    })
  })
}

t.test('one process', async (t) => {
  const { database, open, logged } = await prepare(t, await databaseUrl(t))
  const store = await open({ initial: { 'cache.memory.max_items': 50 } })

  t.test('begins with the defaults and what the environment says', async (t) => {
    t.equal(store.get('samples.items.list_ttl'), 30)
    t.equal(store.get('cache.memory.max_items'), 50)
    t.equal(store.revision, 0)
    t.strictSame(Object.keys(store.all()).sort(), Object.keys(RunTimeSettings.properties).sort())
    t.throws(() => { Object.assign(store.all(), { 'log.level': 'debug' }) }, 'and gives it to be read only')
  })

  t.test('lives by what is put, at once', async (t) => {
    const announced: SettingChanges[] = []
    const stop = store.on((changes) => announced.push(changes))
    await store.put({ 'cache.memory.max_items': 60, 'cache.memory.default_ttl': 0.5, 'log.level': 'info' })
    t.equal(store.get('cache.memory.max_items'), 60)
    t.strictSame(announced, [{ 'cache.memory.max_items': 60, 'cache.memory.default_ttl': 0.5 }], 'announces what is different')
    const { revision } = store
    t.ok(revision > 0)
    await store.put({ 'cache.memory.max_items': 61 })
    t.ok(store.revision > revision, 'each write has a later revision')
    t.equal(store.get('cache.memory.default_ttl'), 0.5, 'others stay')
    stop()
    await store.put({ 'cache.memory.max_items': 62 })
    t.equal(announced.length, 2, 'nobody is told who does not listen any more')
    await store.put({})
    t.equal(store.get('cache.memory.max_items'), 62, 'nothing to put changes nothing')
  })

  t.test('stores all changes or none', async (t) => {
    const before = store.all()
    const faults: [Record<string, unknown>, RegExp][] = [
      [{ 'samples.items.list_ttl': 5, 'cache.memory.max_items': 0 }, /^cache\.memory\.max_items must be a whole number from 1 to/],
      [{ 'samples.items.list_ttl': 5, 'cache.memory.strategy': 'best' }, /^cache\.memory\.strategy must be one of lru, lfu, fifo, ttl, sieve, s3fifo, adaptive, write_through, write_behind$/],
      [{ 'samples.items.list_ttl': '5' }, /^samples\.items\.list_ttl must be a number/],
      [{ 'samples.items.list_ttl': null }, /must be a number/],
      [{ 'samples.items.list_ttl': 5, nothing: 1 }, /^nothing is not a setting$/],
      [JSON.parse('{ "__proto__": 1 }') as Record<string, unknown>, /^__proto__ is not a setting$/],
      [{ constructor: 1 }, /^constructor is not a setting$/]
    ]
    for (const [changes, message] of faults) {
      await t.rejects(store.put(changes as SettingChanges), { statusCode: 400, message }, JSON.stringify(changes))
    }
    t.strictSame(store.all(), before)
    t.strictSame((await open()).all(), before, 'in the table as well')
  })

  t.test('keeps what is put for the next process', async (t) => {
    const later = await open({ initial: { 'cache.memory.max_items': 70 } })
    t.equal(later.get('cache.memory.max_items'), 62, 'over the environment')
    t.equal(later.revision, store.revision)
  })

  t.test('leaves out what the table has and the schema has not, and says so once', async (t) => {
    await database.query('INSERT INTO settings (key, value) VALUES (\'of.the.future\', \'1\'), (\'samples.posts.list_ttl\', \'"soon"\')')
    const store = await open()
    await store.load()
    t.equal(store.get('samples.posts.list_ttl'), 90)
    t.strictSame(logged.filter((line) => line.includes('left out')).sort(), [
      'a stored setting is left out: of.the.future is not a setting',
      'a stored setting is left out: samples.posts.list_ttl must be a number from 0 to 3155760000'
    ])
  })

  t.test('a listener that throws keeps nobody from hearing', async (t) => {
    const stop = store.on(() => { throw new Error('deaf') })
    const heard = next(store)
    await store.put({ 'samples.users.user_ttl': 7 })
    stop()
    t.strictSame(await heard, { 'samples.users.user_ttl': 7 })
    t.ok(logged.includes('a change of settings could not be applied'))
  })
})

t.test('several processes', async (t) => {
  const { open } = await prepare(t, await databaseUrl(t))
  const [one, other] = [await open(), await open({ pollInterval: 20 })]

  t.test('hear of each other’s changes', async (t) => {
    const heard = next(other)
    await one.put({ 'cache.memory.strategy': 'lfu', 'samples.items.item_ttl': 1 })
    t.strictSame(await heard, { 'cache.memory.strategy': 'lfu', 'samples.items.item_ttl': 1 })
    t.equal(other.revision, one.revision)
  })

  t.test('miss none of many at the same time', async (t) => {
    const names = ['cache.memory.max_items', 'cache.memory.max_memory', 'samples.items.list_ttl', 'samples.products.list_ttl'] as const
    await Promise.all(names.flatMap((name, i) => [one.put({ [name]: 100 + i }), other.put({ [name]: 100 + i })]))
    const watcher = await open({ pollInterval: 20 })
    t.strictSame(names.map((name) => watcher.get(name)), [100, 101, 102, 103])
    t.strictSame([one.all(), other.all()], [watcher.all(), watcher.all()])
  })
})

t.test('while the database is away the last values hold', async (t) => {
  const server = await startPostgres(t)
  const { open, logged } = await prepare(t, server.url)
  const store = await open({ pollInterval: 20 })
  await store.put({ 'samples.items.list_ttl': 5 })

  await server.stop()
  await t.rejects(store.put({ 'samples.items.list_ttl': 6 }), { message: /database/i, statusCode: 503 }, 'a change is refused')
  t.equal(store.get('samples.items.list_ttl'), 5)
  await eventually(async () => store.isStale, 'and it says so')

  await server.restart()
  await eventually(async () => await store.load().then(() => true, () => false), 'it can be read again')
  const other = await open()
  const heard = next(store)
  await other.put({ 'samples.items.list_ttl': 7 })
  t.strictSame(await heard, { 'samples.items.list_ttl': 7 }, 'and what changed meanwhile is taken up')
  t.strictSame(logged.filter((line) => line.includes('cannot be read')).length <= 1, true, 'an outage is said once')
})
