import { spawn, type ChildProcess } from 'node:child_process'
import { chownSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, Socket, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serverAccount } from './machine.js'

type Signal = 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'

/** How one kind of server is run. */
export interface ServerKind {
  name: string
  /** The command that runs it in the foreground on a port of 127.0.0.1, with its data in a folder. */
  command (port: number, folder: string): { file: string, args: string[] }
  /** Run once, before the first start. */
  prepare?(folder: string): Promise<void>
  /**
   * Resolves to true once the server answers. An answer from another process, which took the port in between,
   * rejects or resolves to false.
   */
  answers (port: number, pid: number, folder: string): Promise<boolean>
  url (port: number): string
  /** Asks it to end in an orderly way. Default SIGTERM. */
  stopSignal?: Signal
  /** Ends it at once, when nobody needs its data any more. Default SIGKILL. */
  abortSignal?: Signal
  /** The Docker container it runs in: signals go there, and nothing is changed about accounts. */
  container?: string
  /** Of a program of ours: it runs under our own account, with PATH and these variables in its environment and no others. */
  environment?: (port: number, folder: string) => Readonly<Record<string, string>>
}

const startDeadline = 30_000
const stopDeadline = 10_000
const pollInterval = 5
/** In the server's folder, for the reaper. */
const pidFile = 'pid'

/**
 * A real server in a process of its own, on a free port of 127.0.0.1, with its data in a temporary folder.
 * `dispose` ends it and deletes the folder; should the owner die first, in whatever way, a reaper does.
 */
export class ServerProcess {
  readonly url: string
  readonly port: number
  /** Holds its data and its log. */
  readonly folder: string
  readonly #kind: ServerKind
  #child: ChildProcess | undefined
  readonly #dismissReaper: () => void

  private constructor (kind: ServerKind, port: number, folder: string, dismissReaper: () => void) {
    this.#kind = kind
    this.#dismissReaper = dismissReaper
    this.port = port
    this.folder = folder
    this.url = kind.url(port)
  }

  /** Resolves once the server answers. Rejects with the end of its log when it does not within 30 s. */
  static async start (kind: ServerKind): Promise<ServerProcess> {
    const folder = mkdtempSync(join(tmpdir(), `larder-${kind.name}-`))
    const dismissReaper = watch(folder, kind)
    const account = accountOf(kind)
    if (account !== undefined) chownSync(folder, account.uid, account.gid)
    try {
      await kind.prepare?.(folder)
      for (let attempt = 1; ; attempt++) {
        const server = new ServerProcess(kind, await freePort(), folder, dismissReaper)
        try {
          await server.#launch()
          return server
        } catch (error) {
          // Another process may have taken the port between the choice and the bind.
          if (attempt === 3) throw error
        }
      }
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      dismissReaper()
      throw error
    }
  }

  /** Its process id (in a container, that of the docker client); undefined while it is stopped. */
  get pid (): number | undefined {
    return this.#child?.pid
  }

  /** Ends it in an orderly way; what it keeps on disk stays for `restart`. */
  async stop (): Promise<void> {
    await this.#end(this.#kind.stopSignal ?? 'SIGTERM')
  }

  /** SIGKILL: it ends as in a crash. */
  async kill (): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGSTOP: connections stay open, and nothing is answered until `resume`. */
  pause (): void {
    this.#signal('SIGSTOP')
  }

  resume (): void {
    this.#signal('SIGCONT')
  }

  /** Stops it where it still runs and starts it on the same port with the same folder. */
  async restart (): Promise<void> {
    await this.stop()
    await this.#launch()
  }

  /** Ends it, without the ceremony of an orderly stop, and deletes its folder. */
  async dispose (): Promise<void> {
    await this.#end(this.#kind.abortSignal ?? 'SIGKILL')
    await rm(this.folder, { recursive: true, force: true })
    this.#dismissReaper()
  }

  /** Leaves it running when this process ends. Whoever wants it gone ends it by its `pid`, and deletes its `folder`. */
  release (): void {
    this.#dismissReaper()
  }

  async #launch (): Promise<void> {
    const { file, args } = this.#kind.command(this.port, this.folder)
    const log = openSync(join(this.folder, 'log'), 'a', 0o644)
    // Detached: Ctrl-C goes to the tests, which stop their servers themselves.
    const child = spawn(file, args, {
      cwd: this.folder, detached: true, env: environmentOf(this.#kind, this.port, this.folder), stdio: ['ignore', log, log], ...accountOf(this.#kind)
    })
    closeSync(log)
    child.unref()
    this.#child = child
    const gone = new Promise<never>((_resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => {
        if (this.#child === child) this.#child = undefined
        rmSync(join(this.folder, pidFile), { force: true })
        reject(new Error(`${this.#kind.name} ended with ${code ?? signal}\n${this.#log()}`))
      })
    })
    if (child.pid === undefined) {
      this.#child = undefined
      return gone
    }
    writeFileSync(join(this.folder, pidFile), `${child.pid}`)
    try {
      // Kept from counting as unhandled: a later end is no fault of the start.
      gone.catch(() => {})
      await Promise.race([gone, this.#ready(child.pid)])
    } catch (error) {
      await this.kill()
      throw error
    }
  }

  async #ready (pid: number): Promise<void> {
    const deadline = performance.now() + startDeadline
    while (this.#child?.pid === pid) {
      if (await this.#kind.answers(this.port, pid, this.folder).catch(() => false)) return
      if (performance.now() > deadline) throw new Error(`${this.#kind.name} does not answer on port ${this.port}\n${this.#log()}`)
      await new Promise((resolve) => { setTimeout(resolve, pollInterval) })
    }
  }

  async #end (signal: Signal): Promise<void> {
    const child = this.#child
    if (!child) return
    const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve() }) })
    // An unreferenced child does not keep this process alive, and here its end is waited for.
    child.ref()
    // A stopped process takes no orderly signal until it goes on.
    if (signal !== 'SIGKILL') this.#signal('SIGCONT')
    this.#signal(signal)
    const impatience = setTimeout(() => { this.#signal('SIGKILL') }, stopDeadline)
    await ended
    clearTimeout(impatience)
  }

  #signal (signal: Signal): void {
    const child = this.#child
    if (child?.pid === undefined) return
    if (this.#kind.container !== undefined) {
      spawn('docker', ['kill', '--signal', signal, this.#kind.container], { stdio: 'ignore' }).unref()
      return
    }
    // PostgreSQL answers from a process for each connection: a pause and a crash concern them too.
    const whole = signal === 'SIGSTOP' || signal === 'SIGCONT' || signal === 'SIGKILL'
    const pids = whole ? [child.pid, ...childrenOf(child.pid)] : [child.pid]
    for (const pid of pids) kill(pid, signal)
    // A thread that runs on another processor goes on until that one hears of it, and may answer meanwhile.
    if (signal !== 'SIGSTOP') return
    const end = performance.now() + stopDeadline
    while (performance.now() < end && !pids.every(stands));
  }

  #log (): string {
    const log = join(this.folder, 'log')
    return existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(-15).join('\n') : ''
  }
}

/**
 * Starts a shell that waits for this process to end, in whatever way, and then ends the server in the folder and deletes
 * the folder. Returns what sends it away when it is not needed any more.
 */
function watch (folder: string, { container, abortSignal = 'SIGKILL' }: ServerKind): () => void {
  const end = container === undefined
    ? `pid=$(cat "$1/${pidFile}") && kill -s CONT $pid && kill -s ${abortSignal.slice(3)} $pid && ` +
      '{ n=0; while kill -0 $pid && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done; kill -s KILL $pid; }'
    : `docker rm -f ${container}`
  // Its standard input is a pipe from here, which closes with this process.
  const reaper = spawn('sh', ['-c', `read -r _; ${end}; rm -rf "$1"`, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  reaper.unref()
  if (reaper.stdin instanceof Socket) reaper.stdin.unref()
  return () => { reaper.kill('SIGKILL') }
}

/** A port of 127.0.0.1 that nothing listens on at the moment. */
export function freePort (): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => { resolve(port) })
    })
  })
}

function accountOf ({ container, environment }: ServerKind): { uid: number, gid: number } | undefined {
  return container === undefined && environment === undefined ? serverAccount() : undefined
}

function environmentOf ({ environment }: ServerKind, port: number, folder: string): NodeJS.ProcessEnv {
  return environment === undefined ? serverEnvironment() : { PATH: process.env.PATH, ...environment(port, folder) }
}

/** Without the variables that would lead PostgreSQL's programs elsewhere. */
export function serverEnvironment (): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_'))
  return { ...Object.fromEntries(kept), LC_ALL: 'C' }
}

/** Signals a process, or a group by its negative id, that may have ended meanwhile. */
export function kill (pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Whether each thread of a process is stopped, or it has ended. Read from /proc; elsewhere than on Linux nothing is known, and that is taken for it. */
function stands (pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      // The name before the state may have brackets of its own.
      return 'TtZX'.includes(stat.charAt(stat.lastIndexOf(')') + 2))
    })
  } catch {
    return true
  }
}

/** Read from /proc; elsewhere than on Linux none are found. */
function childrenOf (pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter((text) => text !== '').map(Number))
  } catch {
    return []
  }
}
