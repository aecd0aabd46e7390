import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openEmbedded } from '../../../services/database/embedded.js'
import { DataDirLockedError } from '../../../services/database/errors.js'
import { FolderLock } from '../../../services/database/lock.js'
import { processStart } from '../../../services/database/process-start.js'
import type { Owner } from '../../support/servers.js'

const program = fileURLToPath(new URL('open-embedded.ts', import.meta.url))

function temporaryFolder (owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'larder-'))
  owner.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

function openElsewhere (owner: Owner, folder: string): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, ['--import', 'tsx', program, folder])
  owner.teardown(() => child.kill('SIGKILL'))
  return child
}

/** Waits until what the process prints has that text in it. */
async function printed (child: ChildProcessWithoutNullStreams, text: string): Promise<void> {
  let output = ''
  for await (const chunk of child.stdout) {
    output += String(chunk)
    if (output.includes(text)) return
  }
  throw new Error(`The process ended without printing ${text}`)
}

const claims = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.lock'))
const claim = (folder: string, name: string, content: object | string) => {
  const file = join(folder, `postgres.${name}.lock`)
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

t.test('two processes on one folder', async (t) => {
  const folder = temporaryFolder(t)
  // What a process killed in its first start leaves.
  mkdirSync(join(folder, 'postgres.new-killed'))
  const first = openElsewhere(t, folder)
  await printed(first, '\n50\n')
  t.notOk(existsSync(join(folder, 'postgres.new-killed')))

  t.test('the second is told so in words and ends', async (t) => {
    const second = openElsewhere(t, folder)
    let said = ''
    second.stderr.on('data', (chunk) => { said += String(chunk) })
    const [code] = await once(second, 'close') as [number]
    t.equal(code, 1)
    t.match(said, `in use by another Larder (process ${first.pid})`)
    t.match(said, 'DATA_DIR')
    t.match(said, 'DATABASE_URL')
  })

  t.test('a killed one is taken over from, with what it committed', async (t) => {
    first.kill('SIGKILL')
    await once(first, 'exit')
    t.equal(claims(folder).length, 1)
    const embedded = await openEmbedded(folder)
    const { rows } = await embedded.db.query<{ n: number }>('SELECT count(*)::int AS n FROM kept')
    t.ok(rows[0] && rows[0].n >= 50)
    await Promise.all([embedded.close(), embedded.close()])
    t.strictSame(claims(folder), [])
  })
})

t.test('one process cannot open a folder twice', async (t) => {
  const folder = temporaryFolder(t)
  const lock = await FolderLock.acquire(folder)
  await t.rejects(FolderLock.acquire(folder), DataDirLockedError)
  lock.release()
  const again = await FolderLock.acquire(folder)
  again.release()
})

t.test('a folder that cannot be used is named, with the setting that says it', async (t) => {
  const file = join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  // Nothing can be made in /proc, which a recursive mkdir tries for ever.
  for (const folder of [file, join(file, 'below'), '/proc/larder/data']) {
    await t.rejects(FolderLock.acquire(folder), { code: 'ERR_DATA_DIR_UNUSABLE', message: `DATA_DIR=${folder} cannot be used (E` })
  }
  const made = join(temporaryFolder(t), 'one', 'two')
  const lock = await FolderLock.acquire(made)
  t.equal(claims(made).length, 1)
  lock.release()
})

t.test('of many that start at once no more than one gets the folder', async (t) => {
  const folder = temporaryFolder(t)
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, async () => await FolderLock.acquire(folder)))
  const locks = attempts.flatMap((attempt) => attempt.status === 'fulfilled' ? [attempt.value] : [])
  t.ok(locks.length <= 1)
  for (const lock of locks) lock.release()
  t.strictSame(claims(folder), [])
})

t.test('claims that no longer hold are removed', async (t) => {
  const folder = temporaryFolder(t)
  claim(folder, 'recycled', { pid: process.pid, start: 'another time', host: hostname() })
  claim(folder, 'gone', { pid: 2 ** 30, start: 'whenever', host: hostname() })
  claim(folder, 'damaged', '{"pid":')
  const silent = claim(folder, 'silent', { pid: 1, start: 'whenever', host: 'elsewhere' })
  utimesSync(silent, new Date(0), new Date(0))
  const lock = await FolderLock.acquire(folder)
  t.equal(claims(folder).length, 1)
  lock.release()
})

t.test('claims that hold are respected', async (t) => {
  const folder = temporaryFolder(t)
  await t.test('of a process on this host', async (t) => {
    const file = claim(folder, 'parent', { pid: process.ppid, start: processStart(process.ppid), host: hostname() })
    await t.rejects(FolderLock.acquire(folder), `process ${process.ppid}`)
    rmSync(file)
  })
  await t.test('of one on another host that gives signs of life', async (t) => {
    claim(folder, 'remote', { pid: 1, start: 'whenever', host: 'elsewhere' })
    await t.rejects(FolderLock.acquire(folder), /process 1 on elsewhere/)
  })
})

t.test('a folder that is made is for nobody else', async (t) => {
  const folder = join(temporaryFolder(t), 'new', 'data')
  const lock = await FolderLock.acquire(folder)
  t.teardown(() => { lock.release() })
  t.equal(statSync(folder).mode & 0o777, 0o700)
})
