import { type EventPosition, isBefore } from './event.js'
import type { RecordedEvent } from './outbox.js'

export interface RecentEventsOptions {
  /** Events that are kept, beside those that came last. Default 1000. */
  count?: number
  /** Characters of their data. Default four million. */
  size?: number
}

/** The last events that were read, without a gap, each with a number that it keeps. */
export class RecentEvents {
  readonly #options: Required<RecentEventsOptions>
  readonly #events: RecordedEvent[] = []
  #size = 0
  #start = 0
  #from: EventPosition
  #newest: EventPosition

  /** @param from what comes after it is going to be appended */
  constructor (from: EventPosition, options: RecentEventsOptions = {}) {
    this.#options = { count: 1000, size: 4_000_000, ...options }
    this.#from = this.#newest = from
  }

  /** Up to where they have been read. */
  get newest (): EventPosition { return this.#newest }

  /** Adds the next ones. Older ones go, but all that came just now stay, however many: whoever keeps up is to find them. */
  append (events: readonly RecordedEvent[]): void {
    const { count, size } = this.#options
    let gone = 0
    while (gone < this.#events.length && (this.#events.length - gone > count || this.#size > size)) this.#size -= this.#events[gone++]!.size
    const last = this.#events.splice(0, gone).at(-1)
    this.#start += gone
    if (last !== undefined) this.#from = last
    for (const event of events) {
      this.#events.push(event)
      this.#size += event.size
    }
    this.#newest = events.at(-1) ?? this.#newest
  }

  /** The number of the first after a position; undefined where those after it are not kept any more, or have not been read yet. */
  numberAfter (position: EventPosition): number | undefined {
    if (isBefore(position, this.#from) || isBefore(this.#newest, position)) return undefined
    let [low, high] = [0, this.#events.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (isBefore(position, this.#events[middle]!)) high = middle
      else low = middle + 1
    }
    return this.#start + low
  }

  isKept (number: number): boolean { return number >= this.#start }

  /** Undefined for those that are to come. */
  at (number: number): RecordedEvent | undefined { return this.#events[number - this.#start] }

  positionOf (id: string): EventPosition | undefined {
    return this.#events.findLast(({ event }) => event.id === id)
  }
}
