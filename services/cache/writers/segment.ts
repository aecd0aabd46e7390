import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { checksumStart, packRecord, packSegmentHead, recordLength, SEGMENT_HEAD } from './journal-record.js'

/** One file of a journal. */
export class Segment {
  readonly number: number
  readonly path: string
  /** Bytes of it that are on disk. */
  size: number
  /** The lowest number of a write in it; Infinity when it has none. */
  firstSeq = Infinity
  /** Records in it that are not in the durable tier yet, and that no later record replaced. */
  open = 0
  #file: FileHandle | undefined
  #start = 0

  /** @param size of a file that is there already: nothing is added to it */
  constructor (number: number, path: string, size = 0) {
    this.number = number
    this.path = path
    this.size = size
  }

  /** Whether records may still come. */
  get isOpen (): boolean { return this.#file !== undefined }

  /** Makes the file, for its owner alone. It is on disk, name and all, when the promise settles. */
  async create (): Promise<void> {
    const head = packSegmentHead(randomBytes(8))
    this.#start = checksumStart(head) as number
    const file = await open(this.path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await writeAll(file, [head], 0)
      await file.datasync()
      await syncFolder(dirname(this.path))
    } catch (error) {
      await file.close().catch(() => {})
      await unlink(this.path).catch(() => {})
      throw error
    }
    this.#file = file
    this.size = SEGMENT_HEAD
  }

  /**
   * Adds records. They are on disk when the promise settles. When it rejects nothing of them counts, and nothing may be added any
   * more: after a failed fsync the kernel may have marked the pages clean, so that the next fsync of the file succeeds without
   * having written them (what PostgreSQL met in 2018, and since then ends for: https://wiki.postgresql.org/wiki/Fsync_Errors).
   */
  async append (bodies: readonly Buffer[]): Promise<void> {
    const file = this.#file
    if (file === undefined) throw new Error(`${this.path} takes nothing any more`)
    try {
      await writeAll(file, bodies.flatMap((body) => packRecord(body, this.#start)), this.size)
      await file.datasync()
    } catch (error) {
      // What was written of them must not be played; where even that fails, a number tells it from what came later.
      await file.truncate(this.size).catch(() => {})
      await this.seal()
      throw error
    }
    for (const body of bodies) this.size += recordLength(body)
  }

  async seal (): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => {}) // everything that counts is on disk
  }

  async remove (): Promise<void> {
    await this.seal()
    await unlink(this.path)
    await syncFolder(dirname(this.path))
  }
}

/** Makes the names in a folder outlast a loss of power. */
export async function syncFolder (path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function writeAll (file: FileHandle, pieces: Buffer[], at: number): Promise<void> {
  // At most 1024 pieces go at once, and the kernel may take only some of their bytes.
  for (let first = 0; first < pieces.length; first += 512) {
    const bytes = pieces.length === 1 ? pieces[0] as Buffer : Buffer.concat(pieces.slice(first, first + 512))
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at)
      done += bytesWritten
      at += bytesWritten
    }
  }
}
