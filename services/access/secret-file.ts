import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

const NAME = 'secret-key'
const LENGTH = 32

/**
 * The secret of `<folder>/secret-key`, made on first use: 32 random bytes in base64, for the owner alone (0600). It is written aside,
 * flushed and put in place by a link, which fails where there is one already: whoever is second takes what the first has made, and
 * a crash leaves a whole file or none.
 */
export async function secretOf (folder: string): Promise<string> {
  const path = join(folder, NAME)
  return await read(path) ?? await make(folder, path)
}

async function read (path: string): Promise<string | undefined> {
  let text: string
  try {
    text = (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Error(`${path} cannot be read (${(error as Error).message}): make it readable, or give SECRET_KEY.`, { cause: error })
  }
  if (Buffer.from(text, 'base64').length < LENGTH) throw new Error(`${path} does not hold a secret: restore it, or remove it to have another one made.`)
  return text
}

async function make (folder: string, path: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  try {
    const file = await open(aside, 'wx', 0o600)
    try {
      await file.writeFile(`${randomBytes(LENGTH).toString('base64')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(aside, path).catch(async (error: NodeJS.ErrnoException) => {
      // Some file systems have no links.
      if (['EPERM', 'ENOTSUP', 'ENOSYS'].includes(error.code ?? '')) await rename(aside, path)
      else if (error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(aside, { force: true })
  }
  await flush(folder)
  const secret = await read(path)
  if (secret === undefined) throw new Error(`${path} is gone again: see who removes it, or give SECRET_KEY.`)
  return secret
}

/** The name is in the folder, which is flushed apart; not everywhere can that be done. */
async function flush (folder: string): Promise<void> {
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await directory.close()
  }
}
