import { randomUUID } from 'node:crypto'
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import createError from '@fastify/error'

/** More than an import may take. */
export const ImportTooLargeError = createError<[limit: number]>(
  'ERR_CONTENT_TOO_LARGE', 'The file is larger than the %d bytes that an import may take: raise CACHE_MAX_IMPORT_SIZE, or split the export by pattern or namespace.', 413)
const NoRoomError = createError('ERR_UNAVAILABLE', 'The disk under DATA_DIR has no room for the file: free some, and send it again.', 507)

/** Bytes that are read at once. */
const PORTION = 262_144

/** A file of bytes that is read more than once, and that nobody finds afterwards, however the process ends. */
export class Spool {
  #directory: string
  #file: FileHandle

  private constructor (directory: string, file: FileHandle) {
    this.#directory = directory
    this.#file = file
  }

  /** @param directory made where it is not there */
  static async open (directory: string): Promise<Spool> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const path = join(directory, `import-${randomUUID()}`)
    const file = await open(path, 'wx+', 0o600)
    // It has no name from here on: the system takes it back when it is closed.
    await unlink(path)
    return new Spool(directory, file)
  }

  /**
   * Takes all that a stream brings. When it cannot, the rest is left in the stream, which stays open.
   * @param limit bytes
   * @param onChunk called with each piece that came
   * @throws ImportTooLargeError
   */
  async fill (stream: Readable, limit: number, onChunk: () => void): Promise<void> {
    let size = 0
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      onChunk()
      size += chunk.length
      if (size > limit) throw new ImportTooLargeError(limit)
      await this.append(chunk)
    }
  }

  async append (bytes: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(bytes)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw new NoRoomError()
      throw error
    }
  }

  /** Its bytes from the start; as often as one likes. */
  async * read (): AsyncGenerator<Buffer> {
    for (let position = 0; ;) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafeSlow(PORTION), 0, PORTION, position)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      position += bytesRead
    }
  }

  /** Another one, at the same place. */
  async sibling (): Promise<Spool> { return await Spool.open(this.#directory) }

  async close (): Promise<void> { await this.#file.close() }
}
