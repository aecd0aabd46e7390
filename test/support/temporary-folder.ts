import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Owner } from './servers.js'

/** A new folder, gone when the test ends. */
export function temporaryFolder (owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'larder-'))
  owner.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}
