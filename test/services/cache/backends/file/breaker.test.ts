import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Disk } from '../../../../../services/cache/backends/file/disk.js'
import { encode } from '../../../../../services/cache/encoding.js'
import { FileTier } from '../../../../../services/cache/tiers/file-tier.js'
import { eventually, openFileCache } from '../../../../support/caches.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { entryWith } from '../../codec/records.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const AWAY = { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 }

/** Whether every disk fails to read or to write from now on, or finds damage, and how often it was asked to. */
function faultyDisks (owner: Test) {
  const faulty = { reads: false, writes: false, damage: false, asked: 0 }
  const original = (name: 'read' | 'write'): unknown => Reflect.get(Disk.prototype, name)
  const read = original('read') as Disk['read']
  const write = original('write') as Disk['write']
  const fault = (): Error => Object.assign(new Error('Input/output error'), { code: 'LEVEL_IO_ERROR' })
  Disk.prototype.read = async function (keys) {
    faulty.asked++
    if (faulty.reads) throw fault()
    return faulty.damage ? keys.map(() => 'damaged') : await read.call(this, keys)
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
  const folder = () => join(temporaryFolder(t), 'cache')

  await t.test('is left alone, and says so at once, absent keys included', async (t) => {
    const { cache, backend } = await openFileCache(t, folder(), {}, { breaker: { leaveAlone: 3_600_000 } })
    await cache.set(NS, 'k', entry('here'))
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
    faulty.reads = false
    backend.switch.close()
    t.ok(await backend.get(NS, 'k'))
  })

  const { cache, backend } = await openFileCache(t, folder(), {}, { breaker: { leaveAlone: 50, trials: () => 2 } })
  await cache.set(NS, 'k', entry('here'))

  await t.test('is asked again after a while by itself, and used again when it works', async (t) => {
    faulty.reads = true
    for (let at = 0; at < 5; at++) await t.rejects(backend.get(NS, 'k'), AWAY)
    const { asked } = faulty
    await eventually(() => faulty.asked > asked, 'it is looked at, though nobody needs it', 10_000)
    await eventually(() => backend.breaker === 'open', 'it is open again')
    await eventually(async () => { await backend.get(NS, 'absent').catch(() => {}); return faulty.asked > asked + 1 }, 'also for a key that would not have to be read', 5000)
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
    const keys = Array.from({ length: 10 }, (_, at) => `damaged-${at}`)
    for (const key of keys) await cache.set(NS, key, entry('x'))
    faulty.damage = true
    for (const key of keys) t.equal(await backend.get(NS, key), undefined)
    faulty.damage = false
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
  const tier = await FileTier.open({ folder: join(temporaryFolder(t), 'durable'), space: 'a', now: Date.now, onFault: () => {}, breaker: { leaveAlone: 3_600_000 } })
  t.teardown(async () => { await tier.close() })
  const entry = entryWith('"v"', { namespace: NS, strategy: 'write_through' })
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
  tier.switch.close()
  await write(2)
  t.equal(tier.breaker, 'closed')
  t.match(await tier.getMany(NS, ['k']), [{ key: 'k' }])
})
