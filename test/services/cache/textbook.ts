import type { Strategy } from '../../../services/cache/entry.js'

/** An entry as an eviction policy sees it. `used` and `written` are positions in the order of events. */
export interface Held { slot: number, uses: number, used: number, written: number, expiresAt: number }

/** Which of two entries goes first, as the textbooks have it. */
export const orders: { [name in Strategy]?: (a: Held, b: Held) => number } = {
  lru: (a, b) => a.used - b.used,
  lfu: (a, b) => a.uses - b.uses || a.used - b.used,
  fifo: (a, b) => a.written - b.written,
  ttl: (a, b) => a.expiresAt === b.expiresAt ? a.written - b.written : a.expiresAt - b.expiresAt
}
