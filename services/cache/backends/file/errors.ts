/** Another process has the folder, or another part of this one. The message is one line and says what to do. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'

  constructor (folder: string) {
    super(`The cache in ${folder} is in use by another Larder. It takes one process at a time: stop that one, or give this one a DATA_DIR of its own, and restart.`)
  }
}

/** The entries cannot be read without a key that this process does not have. The message is one line and says what to do. */
export class FolderSealedError extends Error {
  override readonly name = 'FolderSealedError'

  constructor (folder: string) {
    super(`The cache in ${folder} is encrypted, and there is no key: set CACHE_ENCRYPTION_KEY and restart, or remove the folder to begin with an empty cache.`)
  }
}

/** The folder cannot be made, read or written. The message is one line and says what to do. */
export class FolderUnusableError extends Error {
  override readonly name = 'FolderUnusableError'

  constructor (folder: string, reason: string) {
    super(`The cache's folder ${folder} cannot be used (${reason}): give a DATA_DIR that Larder can write to, with room on its disk, and restart.`)
  }
}
