import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { FileBackend } from '../../../../../services/cache/backends/file/file.js'
import { decode } from '../../../../../services/cache/encoding.js'
import { eventually, openFileCache, type OpenedCache } from '../../../../support/caches.js'
import { send, startService } from '../../../../support/service.js'
import { databaseUrl, type Owner } from '../../../../support/servers.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { Random } from '../../random.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const LARGE = { maxItems: 1_000_000, maxMemory: 2 ** 30 }

/** Starts the writer, and resolves once it is writing; `said` gives the lines that it printed. */
async function startWriter (folder: string, round: string) {
  const loader = fileURLToPath(new URL('../../../../support/typescript.mjs', import.meta.url))
  const script = fileURLToPath(new URL('writer.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', loader, script, folder, round], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { out += chunk })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors += chunk })
  const ended = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), ended])
  return {
    said: () => out.slice(0, out.lastIndexOf('\n')).split('\n'),
    errors: () => errors,
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    }
  }
}

t.test('a process that is killed loses nothing that it answered, and takes nothing back', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const random = new Random()
  const standing = new Set<string>()
  const gone = new Set<string>()
  for (let round = 0; round < 6; round++) {
    const writer = await startWriter(folder, `r${round}`)
    await delay(200 + random.below(600))
    await writer.kill()
    const lines = writer.said()
    t.ok(lines.length > 50, `${lines.length} answers ${writer.errors()}`)
    for (const line of lines) {
      const [what, key] = line.split(' ') as [string, string]
      if (what === 'set') standing.add(key)
      if (what === 'delete' || what === 'invalidate') {
        standing.delete(key)
        gone.add(key)
      }
    }
    const { cache } = await openFileCache(t, folder, { limits: LARGE, onFault: (error) => { t.fail(String(error)) } })
    let lost = 0
    for (const key of standing) {
      const value = await valueIn(cache, key) as string | undefined
      const number = Number(key.split(':')[2])
      // What is written to be deleted or invalidated right away may be that already, without an answer.
      if (value === undefined && (number % 3 === 0 || number % 50 === 1)) standing.delete(key)
      else if (value?.startsWith(`${key}${key}`) !== true) lost++
    }
    t.equal(lost, 0, `none of ${standing.size} is lost, seed ${random.seed}`)
    let back = 0
    for (const key of gone) if (await valueIn(cache, key) !== undefined) back++
    t.equal(back, 0, `none of ${gone.size} came back`)
    await cache.close()
  }
})

t.test('a second process on the same folder', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const writer = await startWriter(folder, 'first')
  t.teardown(writer.kill)
  await t.rejects(openFileCache(t, folder), { name: 'FolderInUseError', message: /^.*in use by another Larder.*$/ })
  const { length } = writer.said()
  await eventually(() => writer.said().length > length + 100, 'the first one goes on')
  await writer.kill()
  const { cache } = await openFileCache(t, folder, { limits: LARGE })
  t.ok((await cache.statistics()).items > 0, 'is let in once the first is gone, however it went')
})

t.test('services that share a DATA_DIR by accident', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t) }
  const first = await startService(t, env)
  const entries = `${first.url}/api/cache`
  t.equal((await send(`${entries}/set?backend=file`, 'POST', { key: 'k', value: 1 })).status, 200)

  const open = readdirSync(env.DATA_DIR, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const found = statSync(join(env.DATA_DIR, name), { throwIfNoEntry: false })
    return found?.isFile() === true && (found.mode & 0o077) !== 0
  })
  t.strictSame(open, [], 'nobody else on the machine may read what it writes')

  const second = await startService(t, env)
  const refused = await send<{ detail: string }>(`${second.url}/api/cache/set?backend=file`, 'POST', { key: 'k', value: 2 })
  t.equal(refused.status, 503)
  t.match(refused.body.detail, /in use by another Larder.*DATA_DIR/)
  t.equal((await send(`${second.url}/api/cache/set`, 'POST', { key: 'k', value: 2 })).status, 200, 'everything else works')
  t.match((await send(`${second.url}/health/ready`)).body, { status: 'ready', parts: { file: { status: 'disabled' } } })
  t.match(second.log(), /in use by another Larder/)
  t.match((await send(`${entries}/get/k?backend=file`)).body, { cache_item: { value: 1 } })

  await t.rejects(startService(t, { ...env, CACHE_BACKEND: 'file' }), { message: /larder: The cache in \S+ is in use by another Larder.*DATA_DIR.*\n$/ }, 'where it is the default, there is no start')

  first.kill('SIGKILL')
  const third = await startService(t, { ...env, CACHE_BACKEND: 'file' })
  t.match((await send(`${third.url}/api/cache/get/k`)).body, { found: true, cache_item: { value: 1, backend: 'file' } }, 'what was answered outlives the process')
})

/** A store with this many entries, closed; each value can be told from its key. */
async function filled (owner: Owner, count: number, others = new Map<string, string>()): Promise<string> {
  const folder = join(temporaryFolder(owner), 'cache')
  const { cache, backend } = await openFileCache(owner, folder, { limits: LARGE })
  await Promise.all(Array.from({ length: count }, async (_, i) => await cache.set(NS, `k${i}`, entry(`value of k${i} `.repeat(i % 10 === 0 ? 200 : 8), { ttl: 0 }))))
  for (const [key, value] of others) await cache.set(NS, key, entry(value, { ttl: 0 }))
  t.equal(backend.damaged(), 0)
  await cache.close()
  return folder
}

/** Opens it after damage, and reads everything: what is there has to be right. */
async function survives (owner: Owner, folder: string, count: number): Promise<{ opened: OpenedCache<FileBackend>, right: number, wrong: string[], faults: string[] }> {
  const faults: string[] = []
  const opened = await openFileCache(owner, folder, { limits: LARGE, onFault: (error) => { faults.push(String(error)) } })
  const wrong: string[] = []
  let right = 0
  for (let i = 0; i < count; i++) {
    const value = await valueIn(opened.cache, `k${i}`) as string | undefined
    if (value === `value of k${i} `.repeat(i % 10 === 0 ? 200 : 8)) right++
    else if (value !== undefined) wrong.push(`k${i}`)
  }
  return { opened, right, wrong, faults }
}

t.test('damaged entries are a miss, counted and reported, and the others stay', async (t) => {
  const count = 500
  const values = new Map([['a', 600], ['z', 6000]].map(([key, length]) => [key as string, randomBytes(length as number).toString('base64')]))
  const folder = await filled(t, count, values)
  await (await openFileCache(t, folder, { limits: LARGE })).cache.close() // the log is a table now
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.ldb'))) {
    const bytes = readFileSync(join(folder, name))
    for (const value of values.values()) {
      const at = bytes.indexOf(value.slice(200, 240))
      if (at !== -1) bytes[at + 20]! ^= 1
    }
    writeFileSync(join(folder, name), bytes)
  }
  const { opened, right, wrong, faults } = await survives(t, folder, count)
  t.strictSame(wrong, [])
  t.ok(right > count - 60, `${right} of ${count} are not in the same blocks`)
  t.equal(await valueIn(opened.cache, 'a'), undefined, 'one that stands in its row')
  t.equal(await valueIn(opened.cache, 'z'), undefined, 'one that stands apart')
  t.ok(opened.backend.damaged() >= 2)
  t.match([opened.cache.counters(NS), opened.cache.counters('other')], [{ damaged: opened.backend.damaged() }, { damaged: 0 }], 'the statistics have it')
  t.match(faults[0], /is damaged \(0+\d+\.ldb is damaged.*what is sound of it is kept/)
  t.notOk(faults.slice(1).some((fault) => !/damaged, and was deleted/.test(fault)), faults.join('\n'))
  await opened.cache.set(NS, 'z', entry('new'))
  t.equal(await valueIn(opened.cache, 'z'), 'new')
  await opened.cache.close()
  const again = await openFileCache(t, folder, { limits: LARGE, onFault: (error) => { t.fail(String(error)) } })
  t.equal((await again.cache.statistics()).items, right + 1)
})

t.test('a folder of which nothing can be read begins empty', async (t) => {
  const folder = await filled(t, 50)
  for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((each) => each.isFile())) {
    if (name !== 'LOCK') writeFileSync(join(folder, name), Buffer.alloc(3000, 0xff))
  }
  const { opened, right, wrong, faults } = await survives(t, folder, 50)
  t.strictSame([right, wrong], [0, []])
  t.ok(faults.length > 0)
  await opened.cache.set(NS, 'k', entry(1))
  t.equal(await valueIn(opened.cache, 'k'), 1)
})

t.test('a disk that is full', async (t) => {
  const disk = smallDisk(t, 24)
  if (disk === undefined) return
  const folder = join(disk, 'cache')
  const { cache } = await openFileCache(t, folder, { limits: LARGE, onFault: (error) => { t.comment(String(error)) } })
  await cache.set(NS, 'small', entry('small', { ttl: 0 }))
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(12 * 2 ** 20))
  const kept: string[] = []
  let fault: unknown
  for (let i = 0; fault === undefined && i < 3000; i++) {
    // Not compressible.
    const value = randomBytes(15_000).toString('base64')
    try {
      await cache.set(NS, `k${i}`, entry(value, { ttl: 0 }))
      kept.push(`k${i}`)
    } catch (error) {
      fault = error
    }
  }
  t.match(fault, { code: 'ERR_BACKEND_FULL', statusCode: 507 })
  t.ok(kept.length > 10)
  await t.rejects(Promise.resolve(cache.set(NS, 'another', entry('x'.repeat(20_000)))), { code: 'ERR_BACKEND_FULL' }, 'while it is full nothing is written')
  await t.rejects(cache.clear(NS), { code: 'ERR_BACKEND_FULL' })
  t.equal(await valueIn(cache, 'small'), 'small', 'reads go on')
  const there = await Promise.all(kept.map(async (key) => await valueIn(cache, key) !== undefined))
  t.notOk(there.includes(false), 'of what was answered nothing is lost')

  rmSync(join(disk, 'ballast'))
  await eventually(async () => await Promise.resolve(cache.set(NS, 'again', entry('again', { ttl: 0 }))).then(() => true, () => false), 'it goes on by itself once there is room')
  t.notOk((await Promise.all(kept.map(async (key) => await valueIn(cache, key) !== undefined))).includes(false), 'with everything that it had')
  await cache.close()
  const after = await openFileCache(t, folder, { limits: LARGE })
  t.equal(await valueIn(after.cache, 'again'), 'again')
  t.notOk((await Promise.all(kept.map(async (key) => await valueIn(after.cache, key) !== undefined))).includes(false), 'also after reopening')
  t.equal((await after.cache.statistics()).items, kept.length + 2, 'and nothing else')
})

/** A file system of so many MiB in memory; undefined where that may not be mounted. */
function smallDisk (owner: Owner, megabytes: number): string | undefined {
  const folder = temporaryFolder(owner)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'larder-test', folder]).status !== 0) {
    t.comment('No file system can be mounted here: a full disk is not tried')
    return undefined
  }
  owner.teardown(() => { spawnSync('umount', ['-l', folder]) })
  return folder
}

t.test('20 000 keys are paged while others write', async (t) => {
  const { cache } = await openFileCache(t, join(temporaryFolder(t), 'cache'), { limits: LARGE })
  const keys = Array.from({ length: 20_000 }, (_, i) => `key:${String(i).padStart(5, '0')}`)
  await Promise.all(keys.map(async (key) => await cache.set(NS, key, entry(1))))
  const pages = new AbortController()
  const random = new Random()
  const writer = (async () => {
    for (let i = 0; !pages.signal.aborted; i++) {
      await Promise.all([
        cache.set(NS, `other:${i}`, entry(1)), cache.set(NS, `a${i}`, entry(1)), cache.delete(NS, `other:${i - 50}`), cache.set(NS, random.pick(keys), entry('overwritten'))
      ])
    }
  })()
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = await cache.list(NS, { pattern: 'key:*', limit: 1000, cursor })
    t.equal(page.total, 20_000)
    seen.push(...page.entries.map(({ key }) => key))
    cursor = page.cursor
  } while (cursor !== undefined)
  pages.abort()
  await writer
  t.strictSame(seen, keys, 'each once')
  const all = await cache.list(NS, { pattern: 'key:*9', limit: 5, offset: 3 })
  t.strictSame([all.total, all.entries.map(({ key }) => key)], [2000, ['key:00039', 'key:00049', 'key:00059', 'key:00069', 'key:00079']])
})

t.test('50 callers increment one counter, and 1000 keys go in a batch', async (t) => {
  const { cache } = await openFileCache(t, join(temporaryFolder(t), 'cache'))
  await Promise.all(Array.from({ length: 50 }, async () => { for (let i = 0; i < 4; i++) await cache.increment(NS, 'n', 1) }))
  t.equal(await valueIn(cache, 'n'), 200)
  const keys = Array.from({ length: 1000 }, (_, i) => `b${i}`)
  await Promise.all(keys.map(async (key) => await cache.set(NS, key, entry(key))))
  const found = await cache.getMany(NS, [...keys, 'none', ...keys])
  t.strictSame(found.map((each) => each && decode(each.value)), [...keys, undefined, ...keys])
  t.strictSame(await cache.deleteMany(NS, keys), keys.map(() => true))
  t.equal((await cache.statistics()).items, 1)
})
