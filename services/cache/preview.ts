import type { Entry } from './entry.js'
import { compileGlob } from './glob.js'
import type { Invalidation } from './ledger.js'

/** How long is looked for, in milliseconds, and how many entries are kept apart to count each once. */
const PATIENCE = 2000
const MOST = 100_000
/** Entries that are named. */
const SAMPLE = 20

/** What an invalidation would concern. */
export interface Preview {
  /** Entries that would be gone. */
  removed: number
  /** Those that would be stale, and stay for their grace: of a soft invalidation. */
  outdated: number
  /** Whether that is all there is; else there was too much to look at, and there may be more. */
  isComplete: boolean
  /** Some of them, in no order. */
  sample: { key: string, tags: readonly string[] }[]
}

/**
 * Holds every entry of a namespace against an invalidation that has not been made.
 * @param outlines in portions; an entry may come twice
 */
export async function previewOf (
  outlines: AsyncIterable<readonly Pick<Entry, 'key' | 'tags' | 'expiresAt' | 'goneAt'>[]>, { tags = [], pattern, all = false, soft = false }: Invalidation
): Promise<Preview> {
  const until = performance.now() + PATIENCE
  const wanted = new Set(tags)
  const matches = pattern === undefined ? () => false : compileGlob(pattern)
  const found = new Set<string>()
  const sample: Preview['sample'] = []
  let outdated = 0
  for await (const entries of outlines) {
    for (const entry of entries) {
      if (!(all || matches(entry.key) || entry.tags.some((tag) => wanted.has(tag))) || found.has(entry.key)) continue
      found.add(entry.key)
      if (soft && entry.goneAt !== entry.expiresAt) outdated++
      if (sample.length < SAMPLE) sample.push({ key: entry.key, tags: entry.tags })
    }
    if (found.size >= MOST || performance.now() > until) return { removed: found.size - outdated, outdated, isComplete: false, sample }
  }
  return { removed: found.size - outdated, outdated, isComplete: true, sample }
}
