import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { secretOf } from '../../../services/access/secret-file.js'
import { temporaryFolder } from '../../support/temporary-folder.js'

t.test('a secret is made once, for its owner alone, however many ask at a time', async (t) => {
  const folder = join(temporaryFolder(t), 'new')
  const secrets = await Promise.all(Array.from({ length: 20 }, async () => await secretOf(folder)))
  t.equal(new Set(secrets).size, 1)
  t.equal(Buffer.from(secrets[0]!, 'base64').length, 32)
  t.equal(await secretOf(folder), secrets[0])
  t.strictSame(readdirSync(folder), ['secret-key'], 'and nothing else stays')
  t.equal(statSync(join(folder, 'secret-key')).mode & 0o777, 0o600)
  t.not(await secretOf(temporaryFolder(t)), secrets[0])
})

t.test('what a crash has left half written is not taken for one', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'secret-key.1.abcd.tmp'), 'ha')
  t.equal(Buffer.from(await secretOf(folder), 'base64').length, 32)
})

t.test('a file that holds none is refused in words, and left as it is', async (t) => {
  const folder = temporaryFolder(t)
  for (const text of ['', 'short', '\n']) {
    writeFileSync(join(folder, 'secret-key'), text)
    await t.rejects(secretOf(folder), /does not hold a secret: restore it/)
    t.equal(readFileSync(join(folder, 'secret-key'), 'utf8'), text)
  }
})

t.test('a folder in place of the file, or a place that cannot be written to, is refused in words', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'secret-key'))
  await t.rejects(secretOf(folder), /cannot be read .*SECRET_KEY/)
  writeFileSync(join(folder, 'file'), '')
  await t.rejects(secretOf(join(folder, 'file', 'below')), /cannot be read .*SECRET_KEY/)
})
