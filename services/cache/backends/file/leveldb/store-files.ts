import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { changesIn, readLog } from './log-file.js'
import { type Manifest, readManifest, type TableFacts } from './manifest.js'
import { Table } from './table.js'
import type { KeyRange, Version } from './versions.js'

/** Rows that are given out at once. */
const PORTION = 500
/** The names of a store's files: the one that names the manifest, manifests, tables, logs, and what was to become one of them. */
const OURS = /^(CURRENT|MANIFEST-\d+|\d+\.(ldb|sst|log|dbtmp))$/
const NOWHERE = Buffer.alloc(0)

/**
 * The files of a LevelDB that nobody has open, read without it: LevelDB verifies no checksums of tables unless it is told to, which its
 * binding does not do, and aborts the process where damage puts the keys of a table out of order. What is read here is what its
 * checksums say was written.
 */
export class StoreFiles {
  readonly folder: string
  /** What is damaged, in words; empty for a store that is sound. */
  readonly damage: string[] = []
  /** Between which keys changes are lost. */
  readonly lost: KeyRange[] = []
  /** Whether changes are lost, or taken back, of which nobody knows where they were. */
  isUncertain = false
  #tables: { name: string, facts: TableFacts | undefined }[] = []
  #logs: string[] = []

  private constructor (folder: string) { this.folder = folder }

  /** Reads all that LevelDB would read. There may be nothing yet. */
  static async read (folder: string): Promise<StoreFiles> {
    const files = new StoreFiles(folder)
    const names = storeFilesIn(folder)
    if (names.length > 0) await files.#inspect(names)
    return files
  }

  /** All changes that are as they were written, in portions and in no order; those that later ones replaced as well. */
  async * versions (): AsyncGenerator<Version[]> {
    for (const { name, facts } of this.#tables) {
      const table = Table.read(await readFile(join(this.folder, name)), facts?.range.from ?? NOWHERE)
      for (const block of table?.blocks ?? []) if (table?.isSound(block) === true) yield [...table.versions(block)]
    }
    for (const name of this.#logs) {
      let portion: Version[] = []
      for (const record of readLog(await readFile(join(this.folder, name))).records) {
        for (const version of changesIn(record) ?? []) portion.push(version)
        if (portion.length < PORTION) continue
        yield portion
        portion = []
      }
      yield portion
    }
  }

  async #inspect (names: string[]): Promise<void> {
    const manifest = await this.#manifest(names)
    if (manifest === undefined) this.isUncertain = true
    const logs = names.filter((name) => name.endsWith('.log')).sort()
    this.#logs = logs.filter((name) => manifest === undefined || numberIn(name) >= manifest.log || (manifest.earlierLog !== 0 && numberIn(name) === manifest.earlierLog))
    // A repair by LevelDB itself says 0: every log that there is.
    if (manifest !== undefined && manifest.log !== 0 && !logs.some((name) => numberIn(name) === manifest.log)) this.#loseAnywhere(`log ${manifest.log}`, 'is gone')
    const tables = names.filter((name) => /\.(ldb|sst)$/.test(name))
    if (manifest === undefined) this.#tables = tables.map((name) => ({ name, facts: undefined }))
    for (const facts of manifest?.tables ?? []) {
      const name = tables.find((name) => numberIn(name) === facts.number)
      if (name === undefined) this.#lose(`table ${facts.number}`, 'is gone', facts.range)
      else this.#tables.push({ name, facts })
    }
    for (const { name, facts } of this.#tables) await this.#inspectTable(name, facts)
    for (const name of this.#logs) await this.#inspectLog(name)
  }

  /** Undefined for one that is damaged. The file that names it has no checksum. */
  async #manifest (names: string[]): Promise<Manifest | undefined> {
    const manifests = names.filter((name) => name.startsWith('MANIFEST-'))
    const current = names.includes('CURRENT') ? await readFile(join(this.folder, 'CURRENT'), 'latin1') : ''
    let name = manifests.find((name) => current === `${name}\n`)
    if (name === undefined) {
      this.damage.push(current === '' ? 'CURRENT is gone' : 'CURRENT is damaged')
      name = manifests.length === 1 ? manifests[0] : undefined
    }
    if (name === undefined) return undefined
    const manifest = readManifest(await readFile(join(this.folder, name)))
    if (manifest === undefined) this.damage.push(`${name} is damaged`)
    return manifest
  }

  async #inspectTable (name: string, facts: TableFacts | undefined): Promise<void> {
    const bytes = await readFile(join(this.folder, name))
    const table = facts !== undefined && bytes.length !== facts.size ? undefined : Table.read(bytes, facts?.range.from ?? NOWHERE)
    if (table === undefined) {
      if (facts === undefined) this.#loseAnywhere(name, 'is damaged')
      else this.#lose(name, 'is damaged', facts.range)
      return
    }
    for (const block of table.blocks) if (!table.isSound(block)) this.#lose(name, 'is damaged', block.range)
    if (!table.isFilterSound) this.damage.push(`the filter of ${name} is damaged`)
  }

  async #inspectLog (name: string): Promise<void> {
    const { records, isDamaged } = readLog(await readFile(join(this.folder, name)))
    if (isDamaged || records.some((record) => changesIn(record) === undefined)) this.#loseAnywhere(name, 'is damaged')
  }

  #lose (name: string, what: string, range: KeyRange): void {
    this.lost.push(range)
    this.damage.push(`${name} ${what}`)
  }

  #loseAnywhere (name: string, what: string): void {
    this.isUncertain = true
    this.damage.push(`${name} ${what}`)
  }
}

/** The names of those files in a folder that LevelDB reads. */
export const storeFilesIn = (folder: string): string[] => readdirSync(folder).filter((name) => OURS.test(name)).sort()

const numberIn = (name: string): number => Number.parseInt(name)
