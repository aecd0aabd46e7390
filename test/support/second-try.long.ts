import { spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { UNSTEADY } from './second-try.js'
import { temporaryFolder } from './temporary-folder.js'

t.test('tap itself: a file that fails and one that does not end in time, both of which then pass', async (t) => {
  const folder = temporaryFolder(t)
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', tap: { 'disable-coverage': true } }))
  const meeting = (name: string): string => 'import t from \'tap\'\nimport { existsSync, writeFileSync } from \'node:fs\'\n' +
    `const first = !existsSync('${name}')\nwriteFileSync('${name}', '')\n`
  writeFileSync(join(folder, 'fails.test.js'), `${meeting('failed')}t.notOk(first)\n`)
  writeFileSync(join(folder, 'late.test.js'), `${meeting('waited')}t.test('late', async () => { if (first) await new Promise((resolve) => setTimeout(resolve, 60_000)) })\n`)
  writeFileSync(join(folder, 'passes.test.js'), 'import t from \'tap\'\nt.pass()\n')
  const { status, stdout } = spawnSync(process.execPath, [
    '--import', fileURLToPath(new URL('typescript.mjs', import.meta.url)), fileURLToPath(new URL('run.ts', import.meta.url)),
    '--timeout=3', 'fails.test.js', 'late.test.js', 'passes.test.js'
  ], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 50_000,
    // Not those by which the tap around this one speaks to its files.
    env: Object.fromEntries(Object.entries({ ...process.env, TEST_SECOND_TRY: 'true' }).filter(([name]) => !/^_?TAP|^NODE_OPTIONS$/.test(name)))
  })
  t.equal(status, 0)
  t.match(stdout, /^not ok 1 - fails\.test\.js/m)
  t.equal(stdout.trimEnd().split('\n').at(-1), `${UNSTEADY} fails.test.js, late.test.js`)
})
