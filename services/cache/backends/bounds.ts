import type { Quota } from '../limits.js'

/** What entries that share limits come to, and what they may come to. */
export class Bounds {
  items = 0
  bytes = 0
  maxItems: number
  maxMemory: number

  constructor ({ maxItems, maxMemory }: Quota) {
    this.maxItems = maxItems
    this.maxMemory = maxMemory
  }

  get isOver (): boolean { return this.items > this.maxItems || this.bytes > this.maxMemory }
}
