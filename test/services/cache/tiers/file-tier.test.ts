import t from 'tap'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DurableWrite } from '../../../../services/cache/tiers/tier.js'
import { FileTier } from '../../../../services/cache/tiers/file-tier.js'
import { eventually } from '../../../support/caches.js'
import { temporaryFolder } from '../../../support/durable-caches.js'
import { entryWith } from '../codec/records.js'

let seq = 0
/** Half a megabyte that cannot be compressed. */
const entries = (first: number): DurableWrite[] => Array.from({ length: 16 }, (_, i) => {
  const key = `k${first + i}`
  seq += 2
  return {
    namespace: 'default',
    key,
    seq,
    entry: entryWith(JSON.stringify(randomBytes(32_768).toString('latin1')), { namespace: 'default', key, dataType: 'string', version: seq, strategy: 'write_through' })
  }
})

t.test('a damaged table stops the writes no longer than until it is repaired', async (t) => {
  const folder = join(temporaryFolder(t), 'durable')
  const faults: string[] = []
  const options = { folder, space: 'a', now: Date.now, onFault: (error: unknown) => { faults.push((error as Error).message) } }
  const tables = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.ldb'))
  const before = await FileTier.open(options)
  for (let i = 0; i < 8; i++) await before.write(entries(i * 16))
  // What is closed before LevelDB has made a table of it stays in its log.
  await eventually(() => tables().length > 0, 'LevelDB made no table')
  await before.close()

  const tier = await FileTier.open(options)
  t.teardown(() => tier.close())
  // What is damaged before is found when it is opened.
  for (const name of tables()) {
    const bytes = readFileSync(join(folder, name))
    bytes.fill(0, bytes.length - 8)
    writeFileSync(join(folder, name), bytes)
  }
  const failures: unknown[] = []
  let written = 0
  // Until LevelDB has come to the table, and been let on.
  for (const end = Date.now() + 20_000; failures.length === 0 && Date.now() < end; written++) await tier.write(entries(written * 16)).catch((error: unknown) => { failures.push(error) })
  t.ok(failures.length > 0, 'the writes were stopped')
  for (let i = 0; i < 5; i++) {
    const writes = entries(i * 16)
    await tier.write(writes)
    t.strictSame((await tier.getMany('default', writes.map(({ key }) => key))).map((entry) => entry?.version), writes.map(({ entry }) => entry?.version))
  }
})
