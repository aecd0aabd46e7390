import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { dataDir as newDatabase } from '@electric-sql/pglite-prepopulatedfs'
import pg from 'pg'
import { FolderLock } from './lock.js'

/** Shared buffers decide the resident memory: 16 MB of them serve a folder of samples well. */
const startParams = [...PGlite.defaultStartParams, '-c', 'shared_buffers=16MB']

/** The embedded PostgreSQL, and the lock that keeps its folder to this process. */
export interface Embedded {
  readonly db: PGlite
  /** Once, however often it is called. */
  close (): Promise<void>
}

/**
 * Opens the PostgreSQL in `<dataDir>/postgres`, which it makes when there is none. It commits without fsync: safe against the
 * death of the process, not against loss of power.
 * @throws DataDirLockedError when another process has it open
 */
export async function openEmbedded (dataDir: string): Promise<Embedded> {
  const lock = await FolderLock.acquire(resolve(dataDir))
  try {
    const folder = resolve(dataDir, 'postgres')
    if (!existsSync(join(folder, 'PG_VERSION'))) await create(resolve(dataDir), folder)
    const db = await PGlite.create({ dataDir: folder, startParams })
    parseAsPgDoes(db)
    let closed: Promise<void> | undefined
    return {
      db,
      close: () => {
        closed ??= db.close().finally(() => { lock.release() })
        return closed
      }
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Under a name of its own first, so that a process killed half-way leaves no half database behind. */
async function create (dataDir: string, folder: string): Promise<void> {
  for (const name of readdirSync(dataDir)) {
    if (name.startsWith('postgres.new-')) rmSync(join(dataDir, name), { recursive: true, force: true })
  }
  const fresh = join(dataDir, `postgres.new-${randomUUID()}`)
  const db = await PGlite.create({ dataDir: fresh, loadDataDir: await newDatabase(), startParams })
  await db.close()
  renameSync(fresh, folder)
}

/** Values come out as `pg` gives them (int8 and numeric as text, bytea as Buffer); parameters are text by then (see pool.ts). */
function parseAsPgDoes (db: PGlite): void {
  const oids = [...Object.keys(db.parsers), ...Object.keys(db.serializers), ...Object.values(pg.types.builtins)].map(Number)
  for (const oid of oids.filter(Number.isInteger)) {
    db.parsers[oid] = pg.types.getTypeParser(oid, 'text') as (text: string) => unknown
    db.serializers[oid] = String
  }
}
