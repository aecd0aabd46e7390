import { chmodSync, mkdirSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { ClassicLevel, Iterator } from 'classic-level'
import { BackendUnavailableError } from '../../errors.js'
import { FolderInUseError, FolderUnusableError } from './errors.js'
import { FolderGuard } from './folder-guard.js'
import type { KeyRange } from './leveldb/versions.js'
import { codeOf, isDamage, isRepairable, reason } from './level-errors.js'
import { recover, type RecoveryOptions } from './recovery.js'

/** A change of one row. */
export type RowChange = { type: 'put', key: Buffer, value: Buffer } | { type: 'del', key: Buffer }
export type Row = [key: Buffer, value: Buffer]
type Level = ClassicLevel<Buffer, Buffer>
type RowIterator = Iterator<Level, Buffer, Buffer>

export interface DiskOptions extends RecoveryOptions {
  /** Whether a write waits until the device has it, not just the operating system. */
  sync: boolean
}

/** Rows in a portion of a pass. */
const PAGE = 500
/** What has to be free before a store whose disk was full is opened again: its log becomes a table, next to it. */
const ROOM = 6 * 1024 * 1024

/**
 * The store on disk: LevelDB in a folder of its own, for one process. LevelDB writes everything into a log first: what was written
 * survives the end of the process, however it ends; with `sync` also that of the machine.
 */
export class Disk {
  #options: DiskOptions
  #guard: FolderGuard
  #level: Level
  /** Between which keys rows were lost that had been there, as damage was found when it was opened. */
  readonly lost: readonly KeyRange[]

  private constructor (options: DiskOptions, guard: FolderGuard, level: Level, lost: readonly KeyRange[]) {
    this.#options = options
    this.#guard = guard
    this.#level = level
    this.lost = lost
  }

  /**
   * Opens the folder, and makes it where there is none. What is in it is read first by its checksums, as LevelDB aborts the process over some
   * kinds of damage: see `recovery.ts`.
   * @param isDamaged whether it is known to be
   * @throws FolderInUseError · FolderUnusableError
   */
  static async open (options: DiskOptions, isDamaged = false): Promise<Disk> {
    const { folder } = options
    let guard: FolderGuard | undefined
    try {
      makeFolder(resolve(folder))
      guard = await FolderGuard.take(folder)
      const lost = await recover(options, isDamaged)
      try {
        return new Disk(options, guard, await openLevel(folder), lost)
      } catch (error) {
        if (!isRepairable(error)) throw error
        lost.push(...await recover(options, reason(error)))
        return new Disk(options, guard, await openLevel(folder), lost)
      }
    } catch (error) {
      await guard?.release()
      throw unusable(folder, error)
    }
  }

  async write (changes: RowChange[]): Promise<void> { await this.#level.batch(changes, { sync: this.#options.sync }) }

  /** In the order asked. What is damaged comes as `damaged`. */
  async read (keys: Buffer[]): Promise<(Buffer | 'damaged' | undefined)[]> {
    try {
      return await this.#level.getMany(keys)
    } catch (error) {
      if (!isDamage(error)) throw error
      // One of them, or several: who it is shows one by one.
      return await Promise.all(keys.map(async (key) => await this.#level.get(key).catch((error: unknown) => {
        if (isDamage(error)) return 'damaged' as const
        throw error
      })))
    }
  }

  /** The rows of a range in portions, as they are now. Those that cannot be read are left out, and reported at the end. */
  async * rows (range: { gte: Buffer, lt: Buffer }): AsyncGenerator<Row[]> {
    let from: { gte: Buffer } | { gt: Buffer } = { gte: range.gte }
    let portion = PAGE
    for (;;) {
      const iterator: RowIterator = this.#level.iterator({ ...from, lt: range.lt, highWaterMarkBytes: 1024 * 1024 })
      try {
        for (;;) {
          const rows: Row[] = await iterator.nextv(portion)
          if (rows.length === 0) return
          yield rows
          from = { gt: (rows.at(-1) as Row)[0] }
        }
      } catch (error) {
        if (!isDamage(error)) throw error
        // LevelDB goes on behind what it cannot read and tells so at the end, instead of the last portion: once more, row by row.
        if (portion === 1) {
          this.#options.onFault(new Error(`Entries of the cache in ${this.#options.folder} are damaged (${reason(error)}): they are gone.`))
          return
        }
        portion = 1
      } finally {
        await iterator.close()
      }
    }
  }

  /** Keys of a range, from behind `after` on. */
  async keys (range: { gte: Buffer, lt: Buffer }, after: Buffer | undefined, limit: number): Promise<Buffer[]> {
    const from = { gte: after === undefined ? range.gte : Buffer.concat([after, Buffer.alloc(1)]), lt: range.lt }
    const iterator = this.#level.keys(from)
    try {
      return await iterator.nextv(limit)
    } catch (error) {
      if (!isDamage(error)) throw error
      const keys: Buffer[] = []
      for await (const rows of this.rows(from)) {
        for (const [key] of rows) keys.push(key)
        if (keys.length >= limit) break
      }
      return keys.slice(0, limit)
    } finally {
      await iterator.close()
    }
  }

  async close (): Promise<void> {
    await this.#level.close()
    await this.#guard.release()
  }

  /** Whether a store whose disk was full can be opened again: LevelDB needs room for that, and is not there for anybody without. */
  hasRoom (): boolean {
    const { folder } = this.#options
    const trial = join(folder, 'room')
    try {
      const { bavail, bsize } = statfsSync(folder)
      if (bavail * bsize < ROOM) return false
      writeFileSync(trial, Buffer.alloc(ROOM))
      return true
    } catch {
      return false
    } finally {
      rmSync(trial, { force: true })
    }
  }
}

async function openLevel (folder: string): Promise<Level> {
  const { ClassicLevel } = await import('classic-level')
  const level: Level = new ClassicLevel(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await level.open()
  closeToOthers(folder)
  return level
}

/**
 * The folder is closed to others where it was made here; in one that was there, the files are. LevelDB makes them by the umask of the
 * process, which the service sets.
 */
function closeToOthers (folder: string): void {
  for (const each of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, each.name)
    // LevelDB removes files in the background.
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
    if (each.isFile() && (mode & 0o077) !== 0) chmodSync(path, 0o600)
  }
}

/** For nobody else on this machine. */
function makeFolder (folder: string): void {
  // Not `recursive`: it never comes back from where nothing can be made, such as /proc.
  if (dirname(folder) !== folder && !exists(dirname(folder))) makeFolder(dirname(folder))
  if (!exists(folder)) mkdirSync(folder, { mode: 0o700 })
}

function exists (folder: string): boolean {
  try {
    statfsSync(folder)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function unusable (folder: string, error: unknown): Error {
  if (error instanceof FolderInUseError) return error
  if (codeOf(error) === 'LEVEL_LOCKED') return new FolderInUseError(folder)
  return Object.assign(new FolderUnusableError(folder, reason(error)), { cause: error })
}

/** What callers are told of a fault of the disk. */
export const diskFault = (folder: string, error: unknown): Error =>
  Object.assign(new BackendUnavailableError(`The cache's folder ${folder} does not work (${reason(error)}): check the disk; it is tried again by itself.`), { cause: error })
