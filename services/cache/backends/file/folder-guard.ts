import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ClassicLevel } from 'classic-level'
import { FolderInUseError } from './errors.js'
import { codeOf, isRepairable } from './level-errors.js'

/** In the folder that it guards. */
const GUARD = 'guard'

/**
 * Keeps a folder to one process, also while LevelDB does not have it open: its own lock comes only with the work that damaged files
 * must be kept from. An empty LevelDB beside it has the same lock, which the operating system releases however the process ends.
 */
export class FolderGuard {
  #level: ClassicLevel

  private constructor (level: ClassicLevel) { this.#level = level }

  /** @throws FolderInUseError */
  static async take (folder: string): Promise<FolderGuard> {
    const { ClassicLevel } = await import('classic-level')
    const guard = join(folder, GUARD)
    mkdirSync(guard, { recursive: true, mode: 0o700 })
    const level = new ClassicLevel(guard)
    try {
      await level.open().catch(async (error: unknown) => {
        if (!isRepairable(error)) throw error
        // There is nothing in it that could be lost.
        rmSync(join(guard, 'CURRENT'), { force: true })
        await level.open()
      })
    } catch (error) {
      if (codeOf(error) === 'LEVEL_LOCKED') throw new FolderInUseError(folder)
      throw error
    }
    return new FolderGuard(level)
  }

  async release (): Promise<void> { await this.#level.close() }
}

/** Whether a process has LevelDB open in the folder that knows of no guard. */
export async function isOpenElsewhere (folder: string): Promise<boolean> {
  const { ClassicLevel } = await import('classic-level')
  // It asks for the lock, and then refuses in any case, before it reads anything.
  const level = new ClassicLevel(folder, { createIfMissing: false, errorIfExists: true })
  return await level.open().then(() => false, (error: unknown) => codeOf(error) === 'LEVEL_LOCKED').finally(async () => { await level.close() })
}
