import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Gives demonstrations as `npm run demos` does, without the build. */
function run (t: Test, words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'demos/run.ts', ...words], { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { text: '' }
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { said.text += chunk })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const saying = async (text: string): Promise<void> => {
    while (!said.text.includes(text)) {
      await Promise.race([once(child.stdout, 'data'), ended.then(() => { if (!said.text.includes(text)) throw new Error(`It ended without saying ${text}: ${said.text}`) })])
    }
  }
  const pid = (): number => Number(/Redis at \S+ \(pid (\d+)\)/.exec(said.text)?.[1])
  return { child, said, ended, saying, pid }
}

const fixture = (name: string): string => `test/fixtures/demos/${name}.ts`

function lives (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

t.test('a claim that does not hold gives a cross, a line in the table, and exit code 1', async (t) => {
  const { said, ended, pid } = run(t, [fixture('true'), fixture('untrue')])
  t.equal(await ended, 1)
  t.match(said.text, '✓ it has a pid')
  t.match(said.text, '✓ the first is one')
  t.match(said.text, '✗ the second is three (2)')
  t.match(said.text, /^ {2}true +1 of 1 +\d+\.\d$/m)
  t.match(said.text, /^ {2}untrue +1 of 2 +\d+\.\d$/m)
  t.match(said.text, /^ {2}all +2 of 3 +\d+\.\d$/m)
  t.notMatch(said.text, '\u001B', 'without colours, where nobody looks')
  t.notOk(lives(pid()), 'the server has ended')
})

t.test('where every claim holds it is 0', async (t) => {
  const { said, ended } = run(t, [fixture('true')])
  t.equal(await ended, 0)
  t.match(said.text, 'Every claim holds.')
})

t.test('a server that is not installed is no claim that holds: it is said what to install', async (t) => {
  const { said, ended } = run(t, [fixture('true')], { PATH: '/nowhere' })
  t.equal(await ended, 1)
  t.match(said.text, 'Redis cannot be found here')
  t.match(said.text, 'sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server')
  t.match(said.text, 'REDIS_URL')
})

t.test('an interruption ends what was started', async (t) => {
  const { child, said, ended, saying, pid } = run(t, [fixture('waiting'), fixture('true')])
  await saying('It waits.')
  t.ok(lives(pid()))
  child.kill('SIGINT')
  t.equal(await ended, 130)
  t.notMatch(said.text, /✗|2\/2|Error/, 'nothing goes on')
  t.notOk(lives(pid()))
})

t.test('--no-teardown keeps it running, and says how to end it', async (t) => {
  const { said, ended, pid } = run(t, [fixture('true'), '--no-teardown'])
  t.equal(await ended, 0)
  t.teardown(() => { if (lives(pid())) process.kill(pid(), 'SIGKILL') })
  t.ok(lives(pid()), 'it outlives the demonstrations')
  const [, command = '', folder = ''] = /^ {2}(kill -INT .* rm -rf (\S+))$/m.exec(said.text) ?? []
  t.ok(existsSync(folder))
  execFileSync('sh', ['-c', command])
  t.notOk(lives(pid()))
  t.notOk(existsSync(folder))
})

t.test('what there is not is refused', async (t) => {
  const { said, ended } = run(t, ['nothing'])
  t.equal(await ended, 2)
  t.match(said.text, 'There is no demonstration or option nothing.')
})

t.test('the documents’ name for it calls the same', async (t) => {
  const script = readFileSync(`${root}scripts/run_all_demos.sh`, 'utf8')
  t.match(script, 'npm run -s demos -- "$@"')
  t.equal(execFileSync('bash', ['-n', `${root}scripts/run_all_demos.sh`]).length, 0)
})
