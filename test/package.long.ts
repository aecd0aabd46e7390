import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

t.setTimeout(400_000) // a compiler on a busy machine

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const programsIn = (page: string) => [...readFileSync(join(root, page), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code)
const [program = '', withRedis = ''] = programsIn('docs/engine.md')
const [routes = ''] = programsIn('docs/responses.md')

/** A project that depends on the package, as a user's does: nothing of it is reached but what it exports. */
const project = mkdtempSync(join(tmpdir(), 'larder-consumer-'))
t.teardown(() => { rmSync(project, { recursive: true, force: true }) })
mkdirSync(join(project, 'node_modules'))
symlinkSync(root, join(project, 'node_modules', 'larder'))
for (const name of ['fastify', 'ioredis', '@types', 'undici-types', 'tsx']) symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
writeFileSync(join(project, 'package.json'), '{"type":"module"}')

t.test('the program of the documentation does what it says', async (t) => {
  t.ok(program.trim().split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length <= 20, 'in twenty lines')
  writeFileSync(join(project, 'program.ts'), program)
  const { stdout } = await run(process.execPath, ['--import', 'tsx', 'program.ts'], { cwd: project, timeout: 30_000 })
  t.equal(stdout, 'Product 7 true 1\n10.99 2\n{ hits: 0, misses: 2, items: 1 }\n')
})

t.test('a route of one’s own is cached as the documentation says', async (t) => {
  t.ok(routes.trim().split('\n').filter((line) => line.trim() !== '').length <= 20, 'in twenty lines')
  writeFileSync(join(project, 'routes.ts'), routes)
  const { stdout } = await run(process.execPath, ['--import', 'tsx', 'routes.ts'], { cwd: project, timeout: 30_000 })
  const stored = 'larder; fwd=miss; stored; key="GET:/posts/"'
  t.match(stdout.trim().split('\n'), [
    `{"posts":["One"]} ${stored}`, /^\{"posts":\["One"\]\} larder; hit; ttl=(89|90); key="GET:\/posts\/"$/, '{"created":2} undefined', `{"posts":["One","Two"]} ${stored}`
  ])
})

t.test('its types are there for a strict consumer', async (t) => {
  writeFileSync(join(project, 'with-redis.ts'), `${withRedis}\nawait cache.close()\nredis.disconnect()\n`)
  writeFileSync(join(project, 'wrong.ts'), 'import { createCache } from \'larder/cache\'\nconst cache = await createCache({ limits: { maxItems: \'many\' } })\nconst text: string = await cache.getOrSet(\'k\', () => 1)\nconsole.log(text)\n')
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
  const faults = await run(process.execPath, [compiler, ...options, 'program.ts', 'routes.ts', 'with-redis.ts', 'wrong.ts'], { cwd: project, timeout: 100_000 })
    .then(() => [], ({ stdout }: { stdout: string }) => stdout.trim().split('\n').filter((line) => /^\S/.test(line)))
  t.match(faults, [/^wrong.ts\(2,.*TS2322/, /^wrong.ts\(3,.*TS2322/])
  t.equal(faults.length, 2, 'and nothing else')
})

t.test('what is not exported cannot be reached', async (t) => {
  writeFileSync(join(project, 'inside.mjs'), 'await import(\'larder/dist/server.js\')\n')
  await t.rejects(run(process.execPath, ['inside.mjs'], { cwd: project }), /ERR_PACKAGE_PATH_NOT_EXPORTED/)
})

t.test('what is packed has what it exports, the service, and nothing that users have no need of', async (t) => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, timeout: 60_000 })
  const [{ files } = { files: [] }] = JSON.parse(stdout) as { files: { path: string }[] }[]
  const paths = files.map(({ path }) => path)
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, string | Record<string, string>> }
  const named = Object.values(exports).flatMap((one) => typeof one === 'string' ? [one] : Object.values(one)).map((path) => path.replace(/^\.\//, ''))
  for (const path of [...named, 'dist/server.js', 'README.md', 'LICENSE']) t.ok(paths.includes(path), path)
  t.strictSame(paths.filter((path) => /^(?:test|bench|demos|dashboard|node_modules|data)\//.test(path)), [])
})
