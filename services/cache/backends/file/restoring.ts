import { STRATEGIES, type Strategy } from '../../entry.js'

/** An entry of an earlier process, as policies need to know it. */
export interface Restored {
  readonly slot: number
  readonly expiresAt: number
  /** Its uses since it came in, the write included. */
  readonly uses: number
  readonly namespace: string
  readonly key: string
}

interface Order { used: Float64Array, orders: Float64Array, uses: Uint32Array }

/**
 * The slots in the order in which their policy has to be given them, so that it goes on where it was. Exact for lru, lfu, fifo and
 * ttl. The others keep state that is not stored (hands, queues, ghosts, sketches): they begin with the entries in the order of their
 * writes or uses, and with what their counters can hold of the uses.
 */
export function inOrder (slots: number[], strategy: number, { used, orders, uses }: Order): number[] {
  const by = (column: Float64Array) => (a: number, b: number): number => (column[a] as number) - (column[b] as number)
  const name = STRATEGIES[strategy] as Strategy
  // Most uses first: see `Policy.restore`.
  if (name === 'lfu') return slots.sort((a, b) => (uses[b] as number) - (uses[a] as number) || (used[a] as number) - (used[b] as number))
  return slots.sort(by(name === 'lru' || name === 'adaptive' ? used : orders))
}
