import type { Drawn, ScannedEntry } from '../backends/backend.js'
import type { MemoryBackend } from '../backends/memory.js'
import { sizeOf } from '../entry.js'
import { isOutage } from '../faults.js'
import type { EntryFacts, EntrySample } from './composition.js'
import { Reservoir } from './reservoir.js'

/** How long a scan of a shared backend goes on, in milliseconds, and how many entries it goes through. */
const SCAN_TIME = 1000
const SCAN_MOST = 50_000

/** What entries are drawn from. */
export interface Population {
  readonly memory: Pick<MemoryBackend, 'visit'>
  /** Where there is a shared backend behind memory: its entries in portions, each at least once. */
  scan? (namespace: string | undefined): AsyncIterable<ScannedEntry[]>
  /** Some of them, drawn at random out of all; undefined where the scan tells as much. */
  sample? (namespace: string | undefined, most: number): Promise<Drawn | undefined>
}

/**
 * Draws entries at random: from memory by looking at each of them, in slices of a few milliseconds; from a shared backend as it
 * draws them itself, or by a scan that ends after a second or 50 000 entries. While the backend is down, from what this process holds of it in memory.
 * @param namespace undefined for all
 * @param most entries in the sample
 * @param now milliseconds since the epoch, on the cache's clock
 */
export async function drawSample (population: Population, namespace: string | undefined, most: number, now: number): Promise<EntrySample> {
  if (population.scan === undefined) return await sampleMemory(population.memory, namespace, most, now, 'memory')
  try {
    const drawn = await population.sample?.(namespace, most)
    if (drawn === undefined) return await sampleScan(population.scan(namespace), most, now)
    const { entries } = await sampleScan([drawn.entries], most, now)
    return { entries, items: drawn.items, bytes: drawn.bytes, source: 'backend', isComplete: true }
  } catch (error) {
    if (!isOutage(error)) throw error
    return await sampleMemory(population.memory, namespace, most, now, 'memory_tier')
  }
}

async function sampleMemory (
  memory: Population['memory'], namespace: string | undefined, most: number, now: number, source: EntrySample['source']
): Promise<EntrySample> {
  const drawn = new Reservoir<EntryFacts>(most)
  let bytes = 0
  await memory.visit(({ namespace: space, key, dataType, size, createdAt, expiresAt }) => {
    if ((namespace !== undefined && space !== namespace) || expiresAt <= now) return
    bytes += size
    const at = drawn.offer()
    if (at !== -1) drawn.items[at] = { key, dataType, size, lifetime: expiresAt - createdAt, left: expiresAt - now }
  })
  return { entries: drawn.items, items: drawn.seen, bytes, source, isComplete: true }
}

async function sampleScan (portions: AsyncIterable<ScannedEntry[]> | Iterable<readonly ScannedEntry[]>, most: number, now: number): Promise<EntrySample> {
  const drawn = new Reservoir<EntryFacts>(most)
  const until = performance.now() + SCAN_TIME
  let bytes = 0
  let isComplete = true
  for await (const portion of portions) {
    for (const { key, dataType, tags, metadata, valueLength, createdAt, expiresAt } of portion) {
      const size = sizeOf(key, '', tags, metadata) + valueLength
      bytes += size
      const at = drawn.offer()
      if (at !== -1) drawn.items[at] = { key, dataType, size, lifetime: expiresAt - createdAt, left: expiresAt - now }
    }
    isComplete = performance.now() < until && drawn.seen < SCAN_MOST
    if (!isComplete) break
  }
  return { entries: drawn.items, items: drawn.seen, bytes, source: 'backend', isComplete }
}
