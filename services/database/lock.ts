import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DataDirLockedError, DataDirUnusableError } from './errors.js'
import { isRunning, processStart } from './process-start.js'

interface Claim { pid: number, start: string | undefined, host: string }

/** Milliseconds between two signs of life, for processes on other hosts that share the folder. */
const BEAT = 2_000
/** Milliseconds without one after which a process on another host counts as gone. */
const SILENCE = 10_000
const ATTEMPTS = 4

/**
 * Keeps a folder to one process. Each process puts down a claim of its own name and then looks at the others': of two
 * that start at once, at least one sees the other. A claim is never overwritten and never reused, so that removing one
 * whose process is gone (killed, or its id recycled) cannot hit anyone alive.
 */
export class FolderLock {
  readonly #file: string
  readonly #beat: NodeJS.Timeout

  private constructor (file: string) {
    this.#file = file
    this.#beat = setInterval(() => { beat(file) }, BEAT).unref()
  }

  /**
   * @param what begins the names of the claims; small letters
   * @param refusal says what to do, given the folder and who has it
   * @throws DataDirLockedError when another process, or another part of this one, has the folder · DataDirUnusableError
   */
  static async acquire (folder: string, what = 'postgres', refusal = embeddedRefusal): Promise<FolderLock> {
    const claim: Claim = { pid: process.pid, start: processStart(process.pid), host: hostname() }
    for (let attempt = 1; ; attempt++) {
      const file = join(folder, `${what}.${process.pid}-${randomUUID()}.lock`)
      putDown(file, claim)
      const holder = holderBeside(folder, file, new RegExp(`^${what}\\..+\\.lock$`))
      if (holder === undefined) return new FolderLock(file)
      rmSync(file, { force: true })
      // Two that start at once may both withdraw, and one that is closing is gone in a moment: look again, out of step.
      if (attempt === ATTEMPTS) throw new DataDirLockedError(refusal(folder, nameOf(holder)))
      await delay(50 + Math.random() * 150)
    }
  }

  release (): void {
    clearInterval(this.#beat)
    rmSync(this.#file, { force: true })
  }
}

/** @throws DataDirUnusableError when the folder cannot be made, or not be written to */
function putDown (file: string, claim: Claim): void {
  const folder = dirname(file)
  try {
    makeFolder(resolve(folder))
    writeFileSync(`${file}.new`, JSON.stringify(claim))
    renameSync(`${file}.new`, file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw Object.assign(new DataDirUnusableError(`DATA_DIR=${folder} cannot be used (${code ?? message}): give a folder that Larder can write to.`), { cause: error })
  }
}

/** For nobody else on this machine. One folder after the other: `recursive` never comes back from where nothing can be made, such as /proc. */
function makeFolder (folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return
  if (dirname(folder) !== folder) makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Made by another that starts at the same time.
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}

/** The live process that claims the folder as well. Claims of processes that are gone are removed on the way. */
function holderBeside (folder: string, own: string, claims: RegExp): Claim | undefined {
  const now = statSync(own).mtimeMs
  for (const name of readdirSync(folder)) {
    const file = join(folder, name)
    if (!claims.test(name) || file === own) continue
    try {
      const claim = JSON.parse(readFileSync(file, 'utf8')) as Claim
      if (isAlive(claim, now - statSync(file).mtimeMs)) return claim
      rmSync(file, { force: true })
    } catch (error) {
      // A claim is complete before it has its name: a damaged one is what a loss of power left.
      if (error instanceof SyntaxError) rmSync(file, { force: true })
      // Released since the folder was read.
      else if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return undefined
}

function isAlive (claim: Claim, silence: number): boolean {
  if (claim.host !== hostname()) return silence < SILENCE
  if (!isRunning(claim.pid)) return false
  const start = processStart(claim.pid)
  return start === undefined || claim.start === undefined || start === claim.start
}

const nameOf = ({ pid, host }: Claim): string => host === hostname() ? `process ${pid}` : `process ${pid} on ${host}`

function embeddedRefusal (folder: string, holder: string): string {
  return `The embedded database in ${folder} is in use by another Larder (${holder}). It takes one process at a time: ` +
    'stop that one, give this one a DATA_DIR of its own, or set DATABASE_URL so that several can share a PostgreSQL server.'
}

function beat (file: string): void {
  try {
    utimesSync(file, new Date(), new Date())
  } catch {
    // The folder was deleted under a running process: nothing is left to guard.
  }
}
