import { join } from 'node:path'
import type { OnFault } from '../../faults.js'
import { FolderInUseError } from './errors.js'
import { isOpenElsewhere } from './folder-guard.js'
import { reason } from './level-errors.js'
import { rebuild, replaceByRebuilt } from './leveldb/rebuilding.js'
import { StoreFiles } from './leveldb/store-files.js'
import type { KeyRange } from './leveldb/versions.js'

export interface RecoveryOptions {
  folder: string
  /**
   * Whether entries stay although changes of them may be lost, and the files that are replaced are kept, in `lost`. A cache loses them
   * instead: what was deleted must not come back.
   */
  isDurable: boolean
  /** Which rows must go where those of a range are lost; undefined for all. */
  concernedBy: (lost: KeyRange) => readonly KeyRange[] | undefined
  onFault: OnFault
}

const EVERYTHING: KeyRange = { from: Buffer.alloc(0), to: Buffer.of(0xff) }

/**
 * Makes the files in a folder, which no process has open, such that LevelDB can be given them: all of them are read, and where their
 * checksums tell of damage, what is sound is written anew. Where a part of a table is lost, so is everything between its first key and its last,
 * in other tables and logs as well: it may have held deletions of what is there. Lost changes that may have been about any key, as those of
 * a log, empty a cache. LevelDB's own repair is of no use for this: it verifies no checksums, aborts the process over the same damage, takes in
 * tables whose deletions are no more, and may let an older table hide a newer one.
 * @param isKnown whether it is known to be damaged, whatever checksums tell; or why LevelDB does not open it, so that nothing is certain
 * @returns where rows were lost
 */
export async function recover (options: RecoveryOptions, isKnown: boolean | string): Promise<KeyRange[]> {
  const { folder, isDurable, onFault } = options
  const aside = isDurable ? join(folder, 'lost', String(Date.now())) : undefined
  replaceByRebuilt(folder, aside)
  const files = await StoreFiles.read(folder)
  if (files.damage.length === 0 && isKnown === false) return []
  if (await isOpenElsewhere(folder)) throw new FolderInUseError(folder)
  const lost = isKnown !== false && isKnown !== true && !isDurable ? undefined : lostWith(files, options)
  const damage = [...new Set(files.damage)].slice(0, 5).join('; ') || (isKnown === true ? 'LevelDB says so' : isKnown)
  const replaced = aside === undefined ? '' : `; its files are in ${aside}`
  const kept = files.isUncertain ? 'changes may be missing' : 'what is sound of it is kept'
  onFault(new Error(`The cache in ${folder} is damaged (${damage}): ${lost === undefined ? 'it begins empty' : kept}${replaced}.`))
  try {
    const ranges = lost ?? []
    await rebuild(folder, lost === undefined ? undefined : files, (key) => ranges.some(({ from, to }) => from.compare(key) <= 0 && to.compare(key) >= 0))
  } catch (error) {
    if (isDurable || lost === undefined) throw error
    onFault(new Error(`The cache in ${folder} cannot be written anew (${reason(error)}): it begins empty.`))
    await rebuild(folder, undefined, () => true)
    replaceByRebuilt(folder, aside)
    return [EVERYTHING]
  }
  replaceByRebuilt(folder, aside)
  return lost === undefined ? [EVERYTHING] : files.lost
}

/** Undefined for everything. */
function lostWith (files: StoreFiles, { isDurable, concernedBy }: RecoveryOptions): KeyRange[] | undefined {
  if (files.isUncertain && !isDurable) return undefined
  const ranges: KeyRange[] = []
  for (const lost of files.lost) {
    const concerned = concernedBy(lost)
    if (concerned === undefined) return undefined
    ranges.push(...concerned)
  }
  return ranges
}
