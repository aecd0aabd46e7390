import type { Strategy } from '../../entry.js'
import { UnsupportedOperationError } from '../../errors.js'

/** The strategies that indexed columns can tell. */
const TOLD_BY_COLUMNS: readonly Strategy[] = ['lru', 'lfu', 'fifo', 'ttl']

/** @throws UnsupportedOperationError for a strategy that the database cannot evict by */
export function checkStrategy (strategy: Strategy): void {
  if (TOLD_BY_COLUMNS.includes(strategy)) return
  throw new UnsupportedOperationError(
    `The database cannot evict by ${strategy}, which needs more than its indexed columns tell: use ${TOLD_BY_COLUMNS.join(', ')}, or the memory backend.`)
}
