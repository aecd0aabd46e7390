import type { Entry } from '../../entry.js'
import { InvalidCursorError } from '../../errors.js'
import { matcherOf } from '../../glob.js'
import type { ListQuery, Listing } from '../backend.js'
import { inSlices } from '../../slices.js'
import type { Slots } from './slots.js'
import type { Space } from './spaces.js'

/** Up to so many entries they are counted one by one; of more, those count that are held, alive or not. */
export const COUNTED = 10_000

/** What a listing has to know of the backend. */
export interface Listed {
  slots: Slots
  /** Whether the slot holds an entry of this namespace, whatever its state. */
  holds (slot: number, space: Space): boolean
  /** Whether it may be seen. */
  isAlive (slot: number, space: Space): boolean
  entry (slot: number): Entry
}

/**
 * A page of a namespace, by slot: an entry keeps its slot while it lives, so that a page boundary loses none and repeats none
 * while others write. Without a pattern a page takes time for itself alone, and in namespaces of more than ten thousand entries
 * the total is what the index holds: with those that have expired and that nobody has met since. A pattern takes a pass over all.
 * @throws InvalidCursorError
 */
export async function list (space: Space | undefined, query: ListQuery, listed: Listed): Promise<Listing> {
  const { limit, offset = 0, cursor } = query
  if (cursor !== undefined && !/^[0-9a-z]{1,7}$/.test(cursor)) throw new InvalidCursorError()
  if (space === undefined) return { total: 0, entries: [], cursor: undefined }
  const after = cursor === undefined ? -1 : Number.parseInt(cursor, 36)
  const matches = matcherOf(query)
  const isCounted = matches !== undefined || space.items <= COUNTED
  const { slots } = listed
  const found: { slot: number, key: string }[] = []
  const first = isCounted ? 0 : after + 1
  let alive = 0
  let more = false
  await inSlices(slots.high - first, (step) => {
    const slot = first + step
    if (!listed.holds(slot, space) || matches?.(slots.key(slot)) === false || !listed.isAlive(slot, space)) return true
    alive++
    if (slot <= after || (cursor === undefined && alive <= offset)) return true
    if (found.length < limit) found.push({ slot, key: slots.key(slot) })
    else more = true
    return isCounted || !more
  })
  // Meanwhile entries may have left, and others may have come into their slots.
  const entries = found.filter(({ slot, key }) => listed.holds(slot, space) && slots.key(slot) === key).map(({ slot }) => listed.entry(slot))
  return { total: isCounted ? alive : space.items, entries, cursor: more ? found.at(-1)?.slot.toString(36) : undefined }
}
