import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Disk } from '../../../../../services/cache/backends/file/disk.js'
import { encode } from '../../../../../services/cache/encoding.js'
import { FileTier } from '../../../../../services/cache/tiers/file-tier.js'
import { eventually, openFileCache } from '../../../../support/caches.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const AWAY = { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 }

/** Whether every disk fails to read or to write from now on, and how often it was asked to. */
function faultyDisks (owner: Test) {
  const faulty = { reads: false, writes: false, asked: 0 }
  const { read, write } = Disk.prototype
  const fault = (): Error => Object.assign(new Error('Input/output error'), { code: 'LEVEL_IO_ERROR' })
  Disk.prototype.read = async function (keys) {
    faulty.asked++
    if (faulty.reads) throw fault()
    return await read.call(this, keys)
  }
  Disk.prototype.write = async function (changes) {
    faulty.asked++
    if (faulty.writes) throw fault()
    await write.call(this, changes)
  }
  owner.teardown(() => { Object.assign(Disk.prototype, { read, write }) })
  return faulty
}

const succeeds = async (work: () => unknown): Promise<boolean> => await Promise.resolve().then(work).then(() => true, () => false)

t.test('a disk that fails again and again', async (t) => {
  const faulty = faultyDisks(t)
  const { cache, backend } = await openFileCache(t, join(temporaryFolder(t), 'cache'))
  await cache.set(NS, 'k', entry('here'))

  await t.test('is left alone, and says so at once, absent keys included', async (t) => {
    t.equal(backend.breaker, 'closed')
    faulty.reads = true
    for (let at = 0; at < 5; at++) await t.rejects(backend.get(NS, 'k'), AWAY)
    t.match(backend.switch, { state: 'open', isHeld: false, outages: 5 })
    const { asked } = faulty
    await t.rejects(backend.get(NS, 'k'), { ...AWAY, message: /left alone/ })
    await t.rejects(backend.get(NS, 'absent'), AWAY)
    await t.rejects(backend.getMany(NS, ['absent']), AWAY)
    await t.rejects(Promise.resolve(cache.set(NS, 'other', entry(1))), AWAY)
    await t.rejects(cache.invalidate(NS, { tags: ['t'] }), AWAY)
    t.equal(faulty.asked, asked, 'it is not asked')
    t.equal(await valueIn(cache, 'k'), 'here', 'what the memory in front of it has is answered')
  })

  await t.test('is asked again after a while, and used again when it works', async (t) => {
    const { asked } = faulty
    await eventually(async () => { await backend.get(NS, 'absent').catch(() => {}); return faulty.asked > asked }, 'it is looked at', 5000)
    t.equal(backend.breaker, 'open', 'though nothing would have to be read for what is not there')
    faulty.reads = false
    await eventually(async () => await succeeds(async () => await backend.get(NS, 'k')), 'it is read again', 5000)
    t.equal(backend.breaker, 'closed')
    await cache.set(NS, 'other', entry(1))
  })

  await t.test('is left alone as well when nothing can be written', async (t) => {
    faulty.writes = true
    await eventually(async () => { await Promise.resolve(cache.set(NS, 'k', entry('lost'))).catch(() => {}); return backend.breaker === 'open' }, 'it is open', 10_000)
    faulty.writes = false
    await eventually(async () => await succeeds(async () => await cache.set(NS, 'k', entry('new'))), 'it is written again', 10_000)
    t.equal(backend.breaker, 'closed')
    t.same((await backend.get(NS, 'k'))?.value, encode('new'))
  })

  await t.test('is not opened by entries that are damaged, nor by one fault among what it answers', async (t) => {
    const { read } = Disk.prototype
    const keys = Array.from({ length: 10 }, (_, at) => `damaged-${at}`)
    for (const key of keys) await cache.set(NS, key, entry('x'))
    Disk.prototype.read = async (rows) => rows.map(() => 'damaged')
    for (const key of keys) t.equal(await backend.get(NS, key), undefined)
    Disk.prototype.read = read
    for (let at = 0; at < 6; at++) {
      faulty.reads = true
      await t.rejects(backend.get(NS, 'k'), AWAY)
      faulty.reads = false
      await backend.get(NS, 'k')
    }
    t.equal(backend.breaker, 'closed')
  })

  await t.test('can be held, and is still asked whether it works', async (t) => {
    await cache.set(NS, 'fresh', entry('fresh'))
    backend.switch.hold()
    await t.rejects(backend.get(NS, 'k'), AWAY)
    await t.rejects(Promise.resolve(cache.delete(NS, 'other')), AWAY)
    t.notOk(await succeeds(async () => { for await (const portion of backend.outline(NS)) t.fail(String(portion.length)) }))
    await backend.ping()
    t.equal(await valueIn(cache, 'fresh'), 'fresh', 'memory in front of it goes on')
    backend.switch.close()
    t.ok(await backend.get(NS, 'k'))
  })
})

t.test('the files behind write_through and write_behind are left alone in the same way', async (t) => {
  const faulty = faultyDisks(t)
  const tier = await FileTier.open({ folder: join(temporaryFolder(t), 'durable'), space: 'a', now: Date.now, onFault: () => {}, trials: () => 1 })
  t.teardown(async () => { await tier.close() })
  const entry = {
    namespace: NS, key: 'k', value: encode('v'), dataType: 'json' as const, tags: [], metadata: undefined, createdAt: 0, accessedAt: 0, accessCount: 0,
    expiresAt: Infinity, goneAt: Infinity, version: 1, stamp: 1, strategy: 'write_through' as const
  }
  const write = async (seq: number): Promise<void> => { await tier.write([{ namespace: NS, key: 'k', seq, entry }]) }
  await write(1)
  faulty.writes = true
  for (let at = 0; at < 5; at++) await t.rejects(write(2), AWAY)
  t.equal(tier.breaker, 'open')
  const { asked } = faulty
  await t.rejects(write(2), { ...AWAY, message: /left alone/ })
  await t.rejects(tier.getMany(NS, ['k']), AWAY)
  t.notOk(await succeeds(async () => { for await (const portion of tier.scan(NS)) t.fail(String(portion.length)) }))
  t.equal(faulty.asked, asked)
  faulty.writes = false
  await eventually(async () => await succeeds(async () => { await write(2) }), 'it is written again', 5000)
  t.equal(tier.breaker, 'closed')
  t.match(await tier.getMany(NS, ['k']), [{ key: 'k' }])
})
