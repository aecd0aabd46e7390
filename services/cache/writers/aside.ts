import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OnFault } from '../faults.js'
import type { RecordFormat } from '../record-format.js'
import { packBody } from './journal-record.js'
import type { Pending } from './queue.js'

/** A folder for changes that the durable tier keeps refusing, so that they hold up nobody and are not lost without a word. */
export class Aside {
  #folder: string
  #format: RecordFormat
  #onFault: OnFault

  constructor (folder: string, format: RecordFormat, onFault: OnFault) {
    this.#folder = folder
    this.#format = format
    this.#onFault = onFault
  }

  async put ({ namespace, key, seq, entry, tries }: Pending, reason: unknown): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const path = join(this.#folder, `${seq}-${randomUUID()}.record`)
    await writeFile(path, await packBody({ kind: 'write', namespace, key, seq, entry }, this.#format), { mode: 0o600, flush: true })
    this.#onFault(new Error(`The durable tier refused a change of write_behind ${tries} times: it was put into ${path}`, { cause: reason }))
  }
}
