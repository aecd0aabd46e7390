import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { parsed } from '../backends/parsed.js'
import { syncFolder } from './segment.js'

/** Keeps a folder to one process. Rejects with an error that says who has it. */
export type LockFolder = (folder: string) => Promise<{ release (): void }>

/** Numbers that one start of the process may give out; a double holds eight million times as many exactly. */
const NUMBERS = 2 ** 30

/** The folder of a journal, held by this process. */
export interface HeldFolder {
  readonly path: string
  /** Names the entries that belong to this folder, in a tier that others use as well. */
  readonly space: string
  /** Higher than every number that an earlier start has given out, whatever the clock says. */
  readonly firstNumber: number
  /** Whether nothing can have been kept for it yet. */
  readonly isNew: boolean
  release (): void
}

/** Takes the folder, and makes it where there is none. */
export async function holdFolder (path: string, lock: LockFolder): Promise<HeldFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
  const held = await lock(path)
  try {
    const { space, starts } = await readIdentity(path)
    await writeIdentity(path, { space, starts: starts + 1 })
    return { path, space, firstNumber: (starts + 1) * NUMBERS, isNew: starts === 0, release: () => { held.release() } }
  } catch (error) {
    held.release()
    throw error
  }
}

interface Identity { space: string, starts: number }

async function readIdentity (folder: string): Promise<Identity> {
  let text: string
  try {
    text = await readFile(join(folder, 'identity.json'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { space: randomBytes(8).toString('hex'), starts: 0 }
  }
  const { space, starts } = parsed<Partial<Identity>>(text) ?? {}
  if (typeof space !== 'string' || !/^[0-9a-f]{16}$/.test(space) || !Number.isSafeInteger(starts)) {
    throw new Error(`${join(folder, 'identity.json')} is damaged: restore it, or move the folder away to begin anew without what it kept.`)
  }
  return { space, starts: starts as number }
}

async function writeIdentity (folder: string, identity: Identity): Promise<void> {
  const path = join(folder, 'identity.json')
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(JSON.stringify(identity))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  await syncFolder(folder)
}
