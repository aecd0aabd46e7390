import t, { type Test } from 'tap'
import { CredentialStore, type CredentialLoader, type CredentialStoreOptions } from '../../../services/access/credential-store.js'
import { eventually } from '../../support/caches.js'
import { openDatabase } from '../../support/database.js'
import { databaseUrl, startPostgres } from '../../support/servers.js'

/** A database with its tables, and stores over it as so many processes would have them. */
async function prepare (t: Test, connectionString: string) {
  const { database } = await openDatabase(t, connectionString)
  await database.query('CREATE TABLE things (name text, revision bigint)')
  const stores: CredentialStore[] = []
  t.teardown(async () => {
    await Promise.all(stores.map((store) => store.close()))
  })
  const logged: string[] = []
  const open = async (options: Partial<CredentialStoreOptions> = {}) => {
    const log = { warn: (_: object, message: string) => { logged.push(message) }, info: (message: string) => { logged.push(message) } }
    const store = new CredentialStore({ database, shared: true, pollInterval: 20, log, ...options })
    stores.push(store)
    await store.refresh()
    return store
  }
  return { open, logged }
}

/** The names in the table, as a loader keeps them; it says what it was asked for. */
function things (): { names: Set<string>, asked: number[], loader: CredentialLoader } {
  const [names, asked] = [new Set<string>(), [] as number[]]
  return {
    names,
    asked,
    loader: async (database, since) => {
      asked.push(since)
      const { rows } = await database.query<{ name: string }>({ text: 'SELECT name FROM things WHERE revision > $1', values: [since] })
      return () => {
        if (since === 0) names.clear()
        for (const { name } of rows) names.add(name)
      }
    }
  }
}

const add = (store: CredentialStore, name: string): Promise<unknown> => store.change(async (transaction, revision) =>
  await transaction.query({ text: 'INSERT INTO things (name, revision) VALUES ($1, $2)', values: [name, revision] }))

t.test('what one process changes', async (t) => {
  const { open } = await prepare(t, await databaseUrl(t))

  t.test('is in force there when the change resolves, and soon in the others', async (t) => {
    const [one, other] = [await open(), await open()]
    const [here, there] = [things(), things()]
    await one.follow(here.loader)
    await other.follow(there.loader)
    const before = one.epoch
    await add(one, 'first')
    t.ok(here.names.has('first'))
    t.ok(one.epoch > before)
    await eventually(() => there.names.has('first'), 'it holds')
    t.equal(other.revision, one.revision)
  })

  t.test('is read by what is newer alone, and all of it by who comes late', async (t) => {
    const store = await open()
    const early = things()
    await store.follow(early.loader)
    const { revision, epoch } = store
    await add(store, 'second')
    const late = things()
    await store.follow(late.loader)
    t.strictSame(early.asked, [0, revision])
    t.strictSame(late.asked, [0])
    t.strictSame(late.names, early.names)
    await store.refresh()
    t.equal(store.epoch, epoch + 2, 'a look that finds nothing new begins no epoch')
  })

  t.test('misses none of many at the same time', async () => {
    const [one, other, watcher] = [await open(), await open(), await open()]
    const seen = things()
    await watcher.follow(seen.loader)
    const names = Array.from({ length: 20 }, (_, i) => `many-${i}`)
    await Promise.all(names.map((name, i) => add(i % 2 === 0 ? one : other, name)))
    await eventually(() => names.every((name) => seen.names.has(name)), 'it holds')
  })

  t.test('is not there at all when it fails', async (t) => {
    const store = await open()
    const seen = things()
    await store.follow(seen.loader)
    const { revision } = store
    await t.rejects(store.change(async (transaction) => {
      await transaction.query("INSERT INTO things VALUES ('half', 0)")
      throw new Error('no')
    }), { message: 'no' })
    await store.refresh()
    t.equal(store.revision, revision)
    t.notOk(seen.names.has('half'))
  })

  t.test('is told to the others, who look at once; a failure to tell changes nothing', async () => {
    const other = await open({ pollInterval: 60_000 })
    const there = things()
    await other.follow(there.loader)
    const one = await open({ announce: async () => { other.wake() } })
    await add(one, 'told')
    await eventually(() => there.names.has('told'), 'it holds')
    await add(await open({ announce: async () => { throw new Error('mute') } }), 'not told')
  })

  t.test('is heard by who listens', async (t) => {
    const store = await open()
    await store.follow(things().loader)
    let heard = 0
    const stop = store.on(() => { heard++ })
    store.on(() => { throw new Error('deaf') })
    await add(store, 'heard')
    t.equal(heard, 1)
    stop()
    await add(store, 'not heard')
    t.equal(heard, 1)
  })
})

t.test('a load that fails leaves all as it was, and ages it', async (t) => {
  const { open, logged } = await prepare(t, await databaseUrl(t))
  let now = 0
  const store = await open({ now: () => now, pollInterval: 60_000 })
  const seen = things()
  let fails = false
  await store.follow(seen.loader)
  await store.follow(async () => {
    if (fails) throw new Error('unreadable')
    return () => {}
  })
  fails = true
  const { epoch } = store
  await add(await open(), 'new')
  now = 5000
  await t.rejects(store.refresh(), { message: 'unreadable' })
  t.notOk(seen.names.has('new'), 'what another loader has read is not in force either')
  t.equal(store.epoch, epoch)
  t.ok(store.isCurrent)
  now = 5001
  t.notOk(store.isCurrent)
  t.throws(() => { store.check() }, { message: /away/, statusCode: 503, retryAfter: 1 })
  fails = false
  await store.refresh()
  t.ok(seen.names.has('new'))
  t.ok(store.isCurrent)
  store.check()
  t.equal(logged.filter((line) => line.includes('cannot be read')).length, 1)
  t.ok(logged.includes('The credentials can be read again'))

  t.test('and at once where the change was made', async (t) => {
    fails = true
    await add(store, 'unread')
    t.notOk(store.isCurrent)
    fails = false
    await store.refresh()
    t.ok(seen.names.has('unread'))
    t.ok(store.isCurrent)
  })
})

t.test('without other processes it looks after its own changes alone, and does not age', async (t) => {
  const { open } = await prepare(t, await databaseUrl(t))
  let now = 0
  const store = await open({ shared: false, now: () => now })
  const seen = things()
  let fails = false
  await store.follow(async (database, since) => {
    if (fails) throw new Error('unreadable')
    return await seen.loader(database, since)
  })
  now = 1e9
  t.ok(store.isCurrent)
  fails = true
  await add(store, 'unread')
  t.notOk(store.isCurrent, 'but where its own change cannot be read back')
  fails = false
  await eventually(() => store.isCurrent, 'it holds')
  t.ok(seen.names.has('unread'))
})

t.test('a database that is another one now is read as a whole', async (t) => {
  const { open } = await prepare(t, await databaseUrl(t))
  const store = await open()
  const seen = things()
  await add(store, 'one')
  await store.follow(seen.loader)
  await store.change(async (transaction) => {
    await transaction.query('DELETE FROM things')
    await transaction.query('UPDATE credentials_revision SET revision = 0')
  })
  t.equal(store.revision, 0)
  t.strictSame([...seen.names], [])
})

t.test('while the database is away the last state holds for the bound, and no longer', async (t) => {
  const server = await startPostgres(t)
  const { open } = await prepare(t, server.url)
  const store = await open({ bound: 500 })
  const seen = things()
  await store.follow(seen.loader)
  await add(store, 'kept')
  await server.stop()
  t.ok(seen.names.has('kept'))
  await eventually(() => !store.isCurrent, 'it holds')
  await t.rejects(add(store, 'lost'), { message: /database/i, statusCode: 503 })
  await server.restart()
  await eventually(() => store.isCurrent, 'it holds')
  await add(store, 'again')
  t.ok(seen.names.has('again'))
})

t.test('a process that stood still looks again before it turns anybody away, and waits for that half a second', async (t) => {
  const server = await startPostgres(t)
  const { open } = await prepare(t, server.url)
  const clock = { now: 0 }
  const store = await open({ now: () => clock.now, pollInterval: 1e9 })
  clock.now += 6000
  t.notOk(store.isCurrent)
  t.throws(() => { store.check() }, { code: 'ERR_UNAVAILABLE' })
  await store.ensureCurrent()
  t.ok(store.isCurrent)
  clock.now += 6000
  server.pause()
  await t.rejects(store.ensureCurrent(), { code: 'ERR_UNAVAILABLE' })
  server.resume()
  await eventually(async () => await store.ensureCurrent().then(() => true, () => false), 'it holds')
})
