import t, { type Test } from 'tap'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { encode } from '../../../../services/cache/encoding.js'
import type { StoredEntry } from '../../../../services/cache/entry.js'
import { Journal, type Recovered } from '../../../../services/cache/writers/journal.js'
import type { Journalled } from '../../../../services/cache/writers/journal-record.js'
import { Segment } from '../../../../services/cache/writers/segment.js'
import { temporaryFolder } from '../../../support/durable-caches.js'

const entryOf = (key: string, value: unknown): StoredEntry => ({
  namespace: 'n',
  key,
  value: encode(value),
  dataType: 'json',
  tags: ['t'],
  metadata: '{"m":1}',
  strategy: 'write_behind',
  createdAt: 1,
  accessedAt: 2,
  accessCount: 3,
  expiresAt: Infinity,
  goneAt: Infinity,
  version: 4,
  stamp: 5
})
const put = (seq: number, value: unknown = seq): Journalled => ({ kind: 'write', namespace: 'n', key: `k${seq}`, seq, entry: entryOf(`k${seq}`, value) })
const seqs = (recovered: Recovered[]): number[] => recovered.map(({ seq }) => seq)

async function open (folder: string, more: Partial<Parameters<typeof Journal.open>[0]> = {}): Promise<{ journal: Journal, recovered: Recovered[], faults: Error[] }> {
  const faults: Error[] = []
  return { ...await Journal.open({ folder, onFault: (error) => { faults.push(error as Error) }, ...more }), faults }
}

/** A folder with one segment that holds so many records, and where each of them ends. */
async function written (t: Test, records: number): Promise<{ folder: string, path: string, ends: number[] }> {
  const folder = temporaryFolder(t)
  const { journal } = await open(folder)
  const ends: number[] = []
  for (let seq = 1; seq <= records; seq++) {
    await journal.append(put(seq))
    ends.push(journal.bytes)
  }
  await journal.close()
  const [name] = readdirSync(folder)
  return { folder, path: join(folder, name as string), ends }
}

t.test('what was appended is read again, in its order and as it was', async (t) => {
  const folder = temporaryFolder(t)
  const { journal } = await open(folder)
  const records: Journalled[] = [
    put(1), put(2, 'é\u0000\ud800'), put(3, 'x'.repeat(300_000)),
    { kind: 'write', namespace: 'n', key: '\ud800"', seq: 4, entry: undefined },
    { kind: 'invalidation', namespace: 'n', seq: 5, what: { tags: ['a', '\ud800'], pattern: 'k*' }, stamp: 17 }
  ]
  await Promise.all(records.map(async (record) => await journal.append(record)))
  await journal.close()
  const { recovered, faults } = await open(folder)
  const plain = (record: Journalled): unknown => record.kind === 'write' && record.entry !== undefined
    ? { ...record, entry: { ...record.entry, value: record.entry.value.toString() } }
    : record
  t.same(recovered.map(({ segment: _, ...record }) => plain(record)), records.map(plain))
  t.strictSame(faults, [])
})

t.test('a journal is for its owner alone', async (t) => {
  const { folder, path } = await written(t, 1)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(folder).mode & 0o777, 0o700)
})

t.test('a segment goes when everything in it is settled, and no earlier one stands before it', async (t) => {
  const folder = temporaryFolder(t)
  const { journal } = await open(folder, { segmentSize: 1 })
  const segments = []
  for (let seq = 1; seq <= 3; seq++) segments.push(await journal.append(put(seq)))
  t.equal(journal.segments, 3)
  t.equal(journal.oldestSeq, 1)
  journal.settle(segments[1]!)
  t.equal(journal.segments, 3, 'a record may stand in for an older one')
  journal.settle(segments[0]!)
  t.equal(journal.segments, 1)
  t.equal(journal.oldestSeq, 3)
  journal.settle(segments[2]!)
  await journal.close()
  t.strictSame(readdirSync(folder), [])
})

t.test('torn anywhere in its last record, a journal has all the others and reports no damage', async (t) => {
  const { path, ends } = await written(t, 3)
  const whole = readFileSync(path)
  t.equal(whole.length, ends[2])
  const wrong: number[] = []
  for (let length = ends[1]!; length < ends[2]!; length++) {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, '000000000001.journal'), whole.subarray(0, length))
    const { recovered, faults } = await open(folder)
    if (seqs(recovered).join() !== '1,2' || faults.length > 0) wrong.push(length)
  }
  t.strictSame(wrong, [])
})

t.test('with any one byte changed, a journal has all records but at most one, which is put aside and reported', async (t) => {
  const { path, ends } = await written(t, 3)
  const whole = readFileSync(path)
  const wrong: number[] = []
  for (let at = 16; at < whole.length; at++) {
    const folder = temporaryFolder(t)
    const changed = Buffer.from(whole)
    changed[at] = changed[at]! ^ 0x5a
    writeFileSync(join(folder, '000000000001.journal'), changed)
    const { recovered, faults } = await open(folder)
    const hit = 1 + ends.findIndex((end) => at < end)
    const others = [1, 2, 3].filter((seq) => seq !== hit)
    // A last record whose length has grown looks like one that was interrupted.
    const asideOrTorn = faults.length === 1 && readdirSync(join(folder, 'quarantine')).length === 1
    if (seqs(recovered).join() !== others.join() || !(asideOrTorn || (hit === 3 && faults.length === 0))) wrong.push(at)
  }
  t.strictSame(wrong, [])
})

t.test('a value that holds records of a journal is never taken for some', async (t) => {
  const { folder, path, ends } = await written(t, 2)
  const stolen = readFileSync(path).subarray(ends[0])
  const again = await open(folder)
  await again.journal.append({ kind: 'write', namespace: 'n', key: 'evil', seq: 9, entry: { ...entryOf('evil', 0), value: Buffer.concat([Buffer.from('"'), stolen, Buffer.from('"')]) } })
  await again.journal.append(put(10))
  await again.journal.close()
  const name = readdirSync(folder).sort().at(-1) as string
  const bytes = readFileSync(join(folder, name))
  bytes[22] = bytes[22]! ^ 0xff // the length of the record around it
  const other = temporaryFolder(t)
  writeFileSync(join(other, name), bytes)
  const { recovered, faults } = await open(other)
  t.strictSame(seqs(recovered), [10])
  t.equal(faults.length, 1)
})

t.test('what is asked for together shares an fsync', async (t) => {
  let syncs = 0
  class Counting extends Segment {
    override async append (bodies: readonly Buffer[]): Promise<void> {
      syncs++
      await super.append(bodies)
    }
  }
  const { journal } = await open(temporaryFolder(t), { newSegment: (number, path) => new Counting(number, path) })
  await Promise.all(Array.from({ length: 1000 }, async (_, i) => await journal.append(put(i))))
  t.ok(syncs <= 3, `${syncs} for 1000 records`)
  await journal.close()
})

t.test('whoever appends while the round before is ending is not forgotten', async (t) => {
  let atTheEnd = (): void => {}
  class Told extends Segment {
    override async append (bodies: readonly Buffer[]): Promise<void> {
      await super.append(bodies)
      atTheEnd()
    }
  }
  const { journal } = await open(temporaryFolder(t), { newSegment: (number, path) => new Told(number, path) })
  const forgotten: number[] = []
  // At every distance from it, in microtasks.
  for (let distance = 0; distance < 20; distance++) {
    const second = new Promise<void>((resolve, reject) => {
      atTheEnd = () => {
        atTheEnd = () => {}
        let later = Promise.resolve()
        for (let i = 0; i < distance; i++) later = later.then(() => {})
        later.then(async () => await journal.append(put(100 + distance))).then(() => { resolve() }, reject)
      }
    })
    await journal.append(put(distance))
    if (await Promise.race([second, delay(500, 'late')]) === 'late') forgotten.push(distance)
  }
  t.strictSame(forgotten, [])
  await journal.close()
})

t.test('after an fsync that failed nothing more goes into the file, and nothing of it was acknowledged', async (t) => {
  const folder = temporaryFolder(t)
  const appended = new Map<number, number>()
  class Failing extends Segment {
    override async append (bodies: readonly Buffer[]): Promise<void> {
      appended.set(this.number, (appended.get(this.number) ?? 0) + 1)
      if (this.number === 1 && appended.get(1) === 2) {
        await this.seal()
        throw Object.assign(new Error('fsync'), { code: 'EIO' })
      }
      await super.append(bodies)
    }
  }
  const { journal, faults } = await open(folder, { newSegment: (number, path) => new Failing(number, path) })
  await journal.append(put(1))
  await t.rejects(journal.append(put(2)), { code: 'ERR_BACKEND_UNAVAILABLE', message: /EIO/ })
  t.equal(faults.length, 1)
  await journal.append(put(3))
  t.strictSame([...appended], [[1, 2], [2, 1]])
  await journal.close()
  t.strictSame(seqs((await open(folder)).recovered), [1, 3])
})

t.test('a disk that has no room is said to be full', async (t) => {
  class Full extends Segment {
    override async create (): Promise<void> { throw Object.assign(new Error('full'), { code: 'ENOSPC' }) }
  }
  let isFull = true
  const { journal } = await open(temporaryFolder(t), { newSegment: (number, path) => isFull ? new Full(number, path) : new Segment(number, path) })
  await t.rejects(journal.append(put(1)), { code: 'ERR_BACKEND_FULL', statusCode: 507, message: /DATA_DIR/ })
  isFull = false
  await journal.append(put(2))
  await journal.close()
})
