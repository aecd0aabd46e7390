import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import t from 'tap'
import { buildApp } from '../app.js'
import { loadConfig } from '../config.js'
import { Environment } from '../schemas/config.js'
import { envExample, withTable } from '../scripts/readme.js'
import { databaseUrl } from './support/servers.js'
import { temporaryFolder } from './support/temporary-folder.js'

const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')

t.test('what is made from the settings’ schema is up to date', async (t) => {
  const readme = read('README.md')
  t.equal(withTable(readme), readme, 'the README’s table; `npm run readme` brings it up to date')
  t.equal(envExample(), read('.env.example'), '.env.example; `npm run readme` brings it up to date')
  for (const name of Object.keys(Environment.properties)) t.match(readme, `\`${name}\``, `the README has ${name}`)
})

t.test('every command of the tour works', async (t) => {
  const app = await buildApp(loadConfig({ DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), SAMPLE_DATA: 'true', LOG_LEVEL: 'silent' }))
  t.teardown(() => app.close())
  const cwd = temporaryFolder(t)
  const address = await app.listen({ port: 0 })
  const [, tour] = /<!-- tour -->\n```bash\n([^]*?)```\n<!-- \/tour -->/.exec(read('README.md')) ?? []
  const commands = (tour ?? '').replaceAll('\\\n', '').split('\n').filter((line) => line.startsWith('curl '))
  t.ok(commands.length > 10)
  for (const command of commands) {
    const { stdout } = await promisify(execFile)('bash', ['-c', command.replace(/^curl /, 'curl -sS --fail-with-body ').replaceAll('http://127.0.0.1:8000', address)], { cwd })
    t.ok(stdout.length > 0 || command.includes(' -o '), command)
  }
})

t.test('what the documents name is there', async (t) => {
  for (const name of ['README.md', 'docs/architecture.md', 'docs/adding.md', 'docs/credentials.md', 'docs/dashboard.md', 'CONTRIBUTING.md']) {
    const text = read(name)
    const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts
    for (const [, script = ''] of text.matchAll(/`npm run ([a-z:]+)/g)) t.hasOwnProp(scripts, script, `${name}: npm run ${script}`)
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(new URL(link, new URL(`../${name}`, import.meta.url))), `${name}: ${link}`)
    }
  }
})
