import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClassicLevel } from 'classic-level'
import { type StoreFiles, storeFilesIn } from './store-files.js'

/** Bytes, and rows, that are written at once. */
const PORTION = 1024 * 1024
const MOST_ROWS = 1000
/** A store that is to take the place of the one around it. */
const REBUILT = 'rebuilt'
/** Files in it: it has all that it is to have; and the place is free. */
const COMPLETE = 'COMPLETE'
const MOVING = 'MOVING'

/**
 * Writes what is sound of a store into another one: the last change of each row, but for those that are lost.
 * @param files undefined for one that is to be empty
 */
export async function rebuild (folder: string, files: StoreFiles | undefined, isLost: (key: Buffer) => boolean): Promise<void> {
  const made = join(folder, REBUILT)
  rmSync(made, { recursive: true, force: true })
  mkdirSync(made, { mode: 0o700 })
  const { ClassicLevel } = await import('classic-level')
  const level: ClassicLevel<Buffer, Buffer> = new ClassicLevel(made, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await level.open()
  try {
    if (files !== undefined) await copyRows(files, level, isLost)
  } finally {
    await level.close()
  }
  writeFileSync(join(made, COMPLETE), '', { flush: true })
}

/**
 * Puts a store that was rebuilt in its place, also when that was begun by a process that has ended meanwhile. One that is not complete goes.
 * @param aside where the files go that it replaces; undefined where nobody needs them
 */
export function replaceByRebuilt (folder: string, aside: string | undefined): void {
  const made = join(folder, REBUILT)
  if (existsSync(join(made, COMPLETE))) {
    if (aside !== undefined) mkdirSync(aside, { recursive: true, mode: 0o700 })
    for (const name of storeFilesIn(folder)) {
      if (aside === undefined) rmSync(join(folder, name), { force: true })
      else renameSync(join(folder, name), join(aside, name))
    }
    renameSync(join(made, COMPLETE), join(made, MOVING))
  }
  if (existsSync(join(made, MOVING))) for (const name of storeFilesIn(made)) renameSync(join(made, name), join(folder, name))
  rmSync(made, { recursive: true, force: true })
}

async function copyRows (files: StoreFiles, level: ClassicLevel<Buffer, Buffer>, isLost: (key: Buffer) => boolean): Promise<void> {
  const newest = new Map<string, number>()
  for await (const versions of files.versions()) {
    for (const { key, sequence } of versions) {
      const name = key.toString('latin1')
      if (sequence >= (newest.get(name) ?? 0)) newest.set(name, sequence)
    }
  }
  let rows: { type: 'put', key: Buffer, value: Buffer }[] = []
  let bytes = 0
  for await (const versions of files.versions()) {
    if (bytes >= PORTION || rows.length >= MOST_ROWS) {
      await level.batch(rows)
      rows = []
      bytes = 0
    }
    for (const { key, sequence, value } of versions) {
      if (value === undefined || newest.get(key.toString('latin1')) !== sequence || isLost(key)) continue
      rows.push({ type: 'put', key, value })
      bytes += key.length + value.length
    }
  }
  // Whatever was written before is on the device then as well.
  await level.batch(rows, { sync: true })
}
