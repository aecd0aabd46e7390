import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import t from 'tap'
import { crc32c } from '../../../../../services/cache/backends/file/leveldb/crc32c.js'
import { readLog } from '../../../../../services/cache/backends/file/leveldb/log-file.js'
import { uncompressed } from '../../../../../services/cache/backends/file/leveldb/snappy.js'
import { StoreFiles } from '../../../../../services/cache/backends/file/leveldb/store-files.js'
import { Table } from '../../../../../services/cache/backends/file/leveldb/table.js'
import type { Owner } from '../../../../support/servers.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { Random } from '../../random.js'

t.test('checksums are CRC-32C', async (t) => {
  // RFC 3720, B.4
  const ascending = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
  t.strictSame([Buffer.alloc(32), Buffer.alloc(32, 0xff), ascending].map((bytes) => crc32c(bytes, 0, 32)), [0x8a9136aa, 0x62a8ab43, 0x46dd794e])
  const inParts = Array.from({ length: 33 }, (_, at) => crc32c(ascending, at, 32, crc32c(ascending, 0, at)))
  t.strictSame(new Set(inParts), new Set([0x46dd794e]), 'in two parts as well')
})

t.test('Snappy repeats what overlaps itself, and what is no Snappy is refused', async (t) => {
  t.equal(uncompressed(Buffer.from([10, 0x04, 0x61, 0x62, 0x1e, 0x02, 0x00])).toString(), 'ababababab')
  for (const bytes of [[], [5], [2, 0x04], [200, 1, 0x00, 0x61], [4, 0x01, 0x01], [4, 0x00, 0x61, 0x0e, 0x02, 0x00], [0xff, 0xff, 0xff, 0xff, 0x7f]]) {
    t.throws(() => uncompressed(Buffer.from(bytes)), { name: 'MalformedError' })
  }
})

/** A store in several layers, with deletions, and a log behind them; and what it holds. */
async function filled (owner: Owner, random: Random): Promise<{ folder: string, rows: Map<string, string> }> {
  const folder = join(temporaryFolder(owner), 'store')
  const rows = new Map<string, string>()
  for (let layer = 0; layer < 5; layer++) {
    const level = new ClassicLevel(folder)
    await level.open()
    for (let write = 0; write < 4; write++) {
      const changes = Array.from({ length: 50 }, () => {
        const key = `key ${random.below(200)}`
        return random.chance(0.3) ? { type: 'del' as const, key } : { type: 'put' as const, key, value: `${random.next()} `.repeat(random.chance(0.02) ? 3000 : random.below(20)) }
      })
      await level.batch(changes)
      for (const change of changes) {
        if (change.type === 'put') rows.set(change.key, change.value)
        else rows.delete(change.key)
      }
    }
    if (layer === 2) await level.compactRange('', '~')
    await level.close()
  }
  return { folder, rows }
}

/** The last change of each row; deletions have none. */
async function held (files: StoreFiles): Promise<Map<string, string>> {
  const last = new Map<string, { sequence: number, value: Buffer | undefined }>()
  for await (const versions of files.versions()) {
    for (const { key, ...change } of versions) if (change.sequence >= (last.get(key.toString())?.sequence ?? 0)) last.set(key.toString(), change)
  }
  const rows = new Map<string, string>()
  for (const [key, { value }] of last) if (value !== undefined) rows.set(key, value.toString())
  return rows
}

t.test('the files of a store tell the same as LevelDB', async (t) => {
  for (let round = 0; round < 3; round++) {
    const random = new Random()
    const { folder, rows } = await filled(t, random)
    const files = await StoreFiles.read(folder)
    t.strictSame([files.damage, files.lost, files.isUncertain], [[], [], false], `seed ${random.seed}`)
    t.strictSame(new Map([...await held(files)].sort()), new Map([...rows].sort()))
  }
  const none = join(temporaryFolder(t), 'none')
  mkdirSync(none)
  t.strictSame((await StoreFiles.read(none)).damage, [], 'where there is none yet, nothing is damaged')
})

t.test('whichever byte of a table is flipped, nothing else is read from it', async (t) => {
  const random = new Random()
  const { folder } = await filled(t, random)
  const read = (bytes: Buffer) => {
    const table = Table.read(bytes, Buffer.alloc(0))
    return table?.blocks.map((block) => table.isSound(block) ? JSON.stringify([...table.versions(block)]) : undefined)
  }
  const name = readdirSync(folder).filter((name) => name.endsWith('.ldb'))[0] as string
  const bytes = readFileSync(join(folder, name))
  const sound = read(bytes) ?? []
  const unseen: number[] = []
  const wrong: number[] = []
  for (let trial = 0; trial < 300; trial++) {
    // All of the footer, and places anywhere.
    const at = trial < 48 ? bytes.length - 1 - trial : random.below(bytes.length)
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 1 << random.below(8)
    const blocks = read(flipped)
    const table = Table.read(flipped, Buffer.alloc(0))
    if (blocks?.join() === sound.join() && table?.isFilterSound === true) unseen.push(at)
    if (blocks?.some((block, i) => block !== undefined && block !== sound[i]) === true) wrong.push(at)
  }
  t.strictSame(wrong, [], `seed ${random.seed}`)
  t.strictSame(unseen.filter((at) => at < bytes.length - 44 || at >= bytes.length - 8), [], 'only between what the footer holds is there nothing to be damaged')
})

t.test('a log', async (t) => {
  const random = new Random()
  const { folder } = await filled(t, random)
  const logs = readdirSync(folder).filter((name) => /\.log$|^MANIFEST/.test(name))
  for (const name of logs) {
    const bytes = readFileSync(join(folder, name))
    const { records, isDamaged } = readLog(bytes)
    t.equal(isDamaged, false)
    const isSame = (read: Buffer[], from = records): boolean => read.length === from.length && read.every((record, i) => record.equals(from[i] as Buffer))
    const unseen: number[] = []
    for (let trial = 0; trial < 400; trial++) {
      // Each byte of the first header, and places anywhere.
      const at = trial < 7 ? trial : random.below(bytes.length)
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 1 << random.below(8)
      const read = readLog(flipped)
      if (!read.isDamaged && !isSame(read.records)) unseen.push(at)
    }
    t.strictSame(unseen, [], `whichever byte of ${name} is flipped, it is not taken for one that ends early, seed ${random.seed}`)
    for (let trial = 0; trial < 100; trial++) {
      const cut = readLog(bytes.subarray(0, random.below(bytes.length)))
      if (cut.isDamaged || !isSame(cut.records, records.slice(0, cut.records.length))) t.fail(`cut off it is whole as far as it goes, seed ${random.seed}`)
    }
    const zeros = readLog(Buffer.concat([bytes, Buffer.alloc(5000)]))
    t.strictSame([zeros.isDamaged, isSame(zeros.records)], [false, true], 'what was given out and never written is no damage')
  }
  t.equal(logs.length, 2)
})

t.test('what names the manifest', async (t) => {
  const { folder, rows } = await filled(t, new Random())
  writeFileSync(join(folder, 'CURRENT'), 'MANIFEST-0\n')
  const files = await StoreFiles.read(folder)
  t.match(files, { damage: ['CURRENT is damaged'], isUncertain: false }, 'is not needed where there is one alone')
  t.equal((await held(files)).size, rows.size)
})
