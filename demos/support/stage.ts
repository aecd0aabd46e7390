import { setTimeout as delay } from 'node:timers/promises'
import { startPostgres, startRedis, type Startable } from '../../tools/servers/launch.js'
import { startLarder, startWorker } from '../../tools/servers/larder.js'
import { locate, type ServerName } from '../../tools/servers/locate.js'
import { machine } from '../../tools/servers/machine.js'
import type { ServerProcess } from '../../tools/servers/server-process.js'
import { print, styled, wrapped } from './paper.js'
import { ask, curl, summed, type Address, type Answer, type RequestOptions } from './requests.js'

/** One demonstration: a file of this folder has it as its default export. */
export interface Demo {
  /** What `npm run demos -- <name>` takes. */
  readonly name: string
  /** One line. */
  readonly title: string
  run (stage: Stage): Promise<void>
}

/** Settings that every process has here: only what somebody should look at is logged, and a busy machine is no outage. */
const QUIET = { LOG_LEVEL: 'warn', CACHE_ACCESS_LOG_ENABLED: 'false', OVERLOAD_DELAY: '0', CACHE_DEADLINE: '1000' }

/** What a demonstration stands on: it starts servers and ends them again, prints, and counts the claims that hold. */
export class Stage {
  readonly #servers: { name: string, server: ServerProcess }[] = []
  #isOver = false
  held = 0
  failed = 0

  /** What comes next. */
  heading (text: string): void {
    print(`\n  ${styled('bold', text)}`)
  }

  /** What is done, and why. */
  say (text: string): void {
    print(wrapped(text, '  '))
  }

  /** Says whether something holds; `found` is what was found, where that says more than yes or no. */
  claim (text: string, holds: boolean, found?: string): void {
    this.#goOn()
    if (holds) this.held++
    else this.failed++
    print(`${holds ? styled('green', '  ✓') : styled('red', '  ✗')} ${text}${found === undefined ? '' : styled('dim', ` (${found})`)}`)
  }

  /** Prints a request, sends it, and prints the answer, with the headers that are to be seen. */
  async show<Body = Record<string, unknown>> (to: Address, request: string, options: RequestOptions = {}, see: readonly string[] = []): Promise<Answer<Body>> {
    this.#goOn()
    this.command(curl(to, request, options))
    const answer = await ask<Body>(to, request, options)
    this.print(summed(answer, see))
    return answer
  }

  /** What came back. */
  print (line: string): void {
    print(`    ${line}`)
  }

  /** Prints what one would type. */
  command (line: string): void {
    print(`    ${styled('dim', '$')} ${line}`)
  }

  async postgres (): Promise<ServerProcess> {
    return await this.#start('PostgreSQL', async () => await startPostgres(await program('postgres')))
  }

  async redis (): Promise<ServerProcess> {
    return await this.#start('Redis', async () => await startRedis(await program('redis')))
  }

  /** A service of its own; `name` tells it from the others. */
  async larder (name: string, environment: Readonly<Record<string, string>>): Promise<ServerProcess> {
    return await this.#start(name, async () => await startLarder({ ...QUIET, ...environment }))
  }

  /** `npm run worker`. */
  async worker (name: string, environment: Readonly<Record<string, string>>): Promise<ServerProcess> {
    return await this.#start(name, async () => await startWorker({ ...QUIET, ...environment }))
  }

  /** Ends all that was started here, and deletes what it wrote. */
  async clear (): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#servers.splice(0).map(async ({ server }) => { await server.dispose() }))
  }

  /** Leaves all of it running, and says how to reach it and how to end it. */
  release (): void {
    print(`\n${styled('bold', 'Left running:')}`)
    for (const { name, server } of this.#servers) {
      server.release()
      print(`  ${described(name, server)}`)
    }
    const pids = this.#servers.flatMap(({ server: { pid } }) => pid === undefined ? [] : [pid])
    // SIGINT: PostgreSQL would wait for its clients after SIGTERM.
    const end = `kill -INT ${pids.join(' ')}; sleep 3; rm -rf ${this.#servers.map(({ server }) => server.folder).join(' ')}`
    print(`To end it:\n  ${end}`)
  }

  /** What was ended from outside, by Ctrl-C or for taking too long, does not go on behind the scenes. */
  #goOn (): void {
    if (this.#isOver) throw new Error('This demonstration is over.')
  }

  async #start (name: string, start: () => Promise<ServerProcess>): Promise<ServerProcess> {
    const began = performance.now()
    const server = await start()
    if (this.#isOver) await server.dispose()
    this.#goOn()
    this.#servers.push({ name, server })
    print(styled('dim', `  ${described(name, server)}, started in ${((performance.now() - began) / 1000).toFixed(1)} s`))
    return server
  }
}

/** Asks again and again until it holds. Answers the seconds it took, or undefined when it does not hold within `seconds`. */
export async function within (seconds: number, holds: () => Promise<boolean> | boolean): Promise<number | undefined> {
  const began = performance.now()
  for (;;) {
    const isTrue = await holds()
    const taken = (performance.now() - began) / 1000
    if (isTrue) return taken
    if (taken > seconds) return undefined
    await delay(10)
  }
}

function described (name: string, { url, pid }: ServerProcess): string {
  return `${name}${url === '' ? '' : ` at ${url}`} (pid ${pid})`
}

/** Demonstrations stop and kill their servers: they take no address, and install nothing. */
async function program (server: ServerName): Promise<Startable> {
  const location = (await locate([server], { ...machine, env: {}, canInstall: () => false }))[server]
  if (location.kind === 'address') throw new Error(`No address was to be taken for ${server}`)
  return location
}
