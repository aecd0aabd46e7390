/**
 * `npm test`: starts PostgreSQL, Redis and memcached once, runs tap with the arguments given, and stops them again,
 * however the run ends. `--long` stands for the long tests, that is every file `*.long.ts`. With `TEST_SECOND_TRY=true`, as in
 * `.ci/run`, the few files that failed are run once more.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startMemcached, startPostgres, startRedis } from '../../tools/servers/launch.js'
import { addressVariables, locate, serverNames, ServersMissingError, type Location, type SharedServerName } from '../../tools/servers/locate.js'
import { machine } from '../../tools/servers/machine.js'
import { kill, type ServerProcess } from '../../tools/servers/server-process.js'
import { withSecondTry } from './second-try.js'

const launchers = { postgres: startPostgres, redis: startRedis, memcached: startMemcached }
const started: ServerProcess[] = []
const environment: NodeJS.ProcessEnv = { ...process.env }
let tests: ChildProcess | undefined
let interrupted: NodeJS.Signals | undefined

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted ??= signal
    interrupt(signal)
  })
}

try {
  const locations = await locate(serverNames, machine)
  const own = serverNames.filter((name) => locations[name].kind !== 'address')
  const outcomes = await Promise.allSettled(own.map((name) => start(name, locations[name])))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  environment.TEST_SERVERS_STARTED_HERE = own.join(' ')
  // Files that share one given Redis or memcached must not run side by side: they empty it.
  const alone = own.includes('redis') && own.includes('memcached') ? [] : ['--jobs=1']
  const args = [...alone, ...process.argv.slice(2).flatMap((argument) => argument === '--long' ? longTests() : [argument])]
  if (interrupted) process.exitCode = exitCodeOf(interrupted)
  else if (process.env['TEST_SECOND_TRY'] === 'true') process.exitCode = await withSecondTry(runTap, args, (line) => { console.log(line) })
  else process.exitCode = await runTap(args)
} catch (error) {
  console.error(error instanceof ServersMissingError ? error.message : error)
  process.exitCode = 1
} finally {
  await Promise.all(started.map((server) => server.dispose()))
}

async function start (name: SharedServerName, location: Location): Promise<void> {
  if (location.kind === 'address') return
  const server = await launchers[name](location)
  started.push(server)
  environment[addressVariables[name]] = server.url
}

/** With more time than the others; two at a time like them, as each of them waits for servers and processes for half of its time. */
function longTests (): string[] {
  const names = readdirSync(fileURLToPath(new URL('..', import.meta.url)), { recursive: true, encoding: 'utf8' })
  return ['--timeout=400', ...names.filter((name) => name.endsWith('.long.ts')).map((name) => join('test', name))]
}

/** @returns tap's exit code; that of the signal when it was interrupted meanwhile */
function runTap (args: readonly string[]): Promise<number> {
  const tap = fileURLToPath(new URL('tap.mjs', import.meta.url))
  // In a process group of its own, so that a signal reaches the test files behind tap as well.
  tests = spawn(process.execPath, [tap, ...args], { stdio: 'inherit', env: environment, detached: true })
  const child = tests
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => { resolve(interrupted ? exitCodeOf(interrupted) : code ?? exitCodeOf(signal ?? 'SIGKILL')) })
  })
}

/** tap waits for its files to end, whatever the signal; they are given two seconds. */
function interrupt (signal: NodeJS.Signals): void {
  const group = tests?.pid
  if (group === undefined) return
  kill(-group, signal)
  setTimeout(() => { kill(-group, 'SIGKILL') }, 2_000).unref()
}

function exitCodeOf (signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
