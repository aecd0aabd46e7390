/*
 * What a store that was damaged may still answer: of each key what it held last, or nothing.
 *
 * As a process of its own it opens the folders given, one after the other, as often as they are named, has LevelDB rewrite everything,
 * opens each again, and prints a line for each: see `Survey`. With `--open` it damages one itself: see `damageWhileOpen`.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, readdirSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ClassicLevel } from 'classic-level'
import { FileBackend } from '../../../../../services/cache/backends/file/file.js'
import { Cache } from '../../../../../services/cache/cache.js'
import { monotonicNow } from '../../../../../services/cache/clock.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { SharedStore } from '../../../../../services/cache/stores/shared-store.js'
import { Random } from '../../random.js'
import { entryOf, valueIn } from '../../setup.js'

const NS = 'default'
const COUNT = 600
const limits = { ...DEFAULT_LIMITS, maxItems: 1_000_000, maxMemory: 2 ** 30 }

/** What a folder answered. `again`: after it was closed, rewritten and opened once more. */
export interface Survey { folder: string, right: number, again: number, wrong: string[], faults: string[], damaged: number }

export async function openCache (folder: string, faults: string[] = []): Promise<{ cache: Cache, backend: FileBackend }> {
  const now = monotonicNow()
  const onFault = (error: unknown): void => { faults.push(String(error)) }
  const backend = await FileBackend.open({ folder, now, limits, onFault })
  const store = new SharedStore({ backend, now, limits: DEFAULT_LIMITS, onFault })
  await store.open()
  return { cache: new Cache({ store, now, limits, onFault }), backend }
}

/** Keys by what becomes of them: `later` is done in another layer of the store than the first write, each in one of its own. */
const fates = ['kept', 'overwritten', 'deleted', 'outdated', 'shortened', 'large'] as const
const keys = Array.from({ length: COUNT }, (_, i) => `${fates[i % fates.length]}:${i}`)
const last = (key: string): string => `last ${key} `.repeat(key.startsWith('large') ? 150 : 5)
const isThere = (key: string): boolean => /^(kept|overwritten|large)/.test(key)
export const expected = keys.filter(isThere).length

/** Fills a folder, layer by layer: what opening finds in the log becomes a table. */
export async function fill (folder: string): Promise<void> {
  const layer = async (work: (cache: Cache, key: string) => unknown, ...meant: (typeof fates)[number][]): Promise<void> => {
    const { cache } = await openCache(folder)
    await Promise.all(keys.filter((key) => meant.some((fate) => key.startsWith(fate))).map(async (key) => await work(cache, key)))
    await cache.close()
  }
  const first = (key: string): string => isThere(key) && !key.startsWith('overwritten') ? last(key) : `first ${key} `.repeat(4)
  await layer(async (cache, key) => await cache.set(NS, key, entryOf(first(key), { ttl: 0, tags: key.startsWith('outdated') ? ['t'] : [] })), ...fates)
  await layer(async (cache, key) => await cache.delete(NS, key), 'deleted')
  await layer(async (cache, key) => await cache.set(NS, key, entryOf(last(key), { ttl: 0 })), 'overwritten')
  await layer(async (cache, key) => await cache.touch(NS, key, 0.001), 'shortened')
  const { cache } = await openCache(folder)
  await cache.outdate({ tags: ['t'] })
  await Promise.all(keys.slice(0, 60).filter(isThere).map(async (key) => await cache.set(NS, key, entryOf(last(key), { ttl: 0 }))))
  await cache.close()
}

/** How many of the keys are there; those that hold what they must not are added to `wrong`. */
export async function answered (cache: Cache, wrong: string[]): Promise<number> {
  let right = 0
  await Promise.all(keys.map(async (key) => {
    const value = await valueIn(cache, key)
    if (isThere(key) && value === last(key)) right++
    else if (value !== undefined) wrong.push(key)
  }))
  return right
}

async function survey (folder: string): Promise<Survey> {
  const wrong: string[] = []
  const faults: string[] = []
  const { cache, backend } = await openCache(folder, faults)
  const right = await answered(cache, wrong)
  const damaged = backend.damaged()
  await cache.set(NS, 'new', entryOf('new', { ttl: 0 }))
  await cache.close()

  const level = new ClassicLevel(folder)
  await level.open()
  await level.compactRange('\0', '\uffff')
  await level.close()

  const reopened = await openCache(folder, faults)
  const again = await answered(reopened.cache, wrong)
  if (await valueIn(reopened.cache, 'new') !== 'new') wrong.push('new')
  await reopened.cache.close()
  return { folder, right, again, wrong, faults, damaged }
}

/** Opens a folder, flips bytes of its tables, and writes until LevelDB has rewritten them; then prints the keys with what they must not hold. */
async function damageWhileOpen (folder: string, random: Random): Promise<void> {
  const { cache } = await openCache(folder)
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.ldb'))) {
    const file = openSync(join(folder, name), 'r+')
    const byte = Buffer.alloc(1)
    const at = random.below(fstatSync(file).size)
    readSync(file, byte, 0, 1, at)
    byte[0]! ^= 1 << random.below(8)
    writeSync(file, byte, 0, 1, at)
    closeSync(file)
  }
  for (let i = 0; i < 300; i++) {
    // While what LevelDB comes upon is mended, writes are refused.
    await Promise.resolve(cache.set('filler', `k${i}`, entryOf(randomBytes(15_000).toString('base64'), { ttl: 0 }))).catch(async () => { await delay(100) })
  }
  const wrong: string[] = []
  await answered(cache, wrong)
  process.stdout.write(`${JSON.stringify(wrong)}\n`)
  await cache.close()
}

const [first, ...others] = process.argv.slice(2)
if (first === '--open') await damageWhileOpen(others[0] as string, new Random(Number(others[1])))
else for (const folder of process.argv.slice(2)) process.stdout.write(`${JSON.stringify(await survey(folder))}\n`)
