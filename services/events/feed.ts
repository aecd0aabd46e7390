import { compileGlob } from '../cache/glob.js'
import type { Event, EventPosition } from './event.js'
import { Loop } from './loop.js'
import type { Outbox } from './outbox.js'

/** Milliseconds between looks for what other processes have recorded, while anybody listens. */
const LOOK = 200
const PAGE = 100
/** Patterns that one listener may name. */
export const MAX_TYPE_PATTERNS = 20

/** Live events for listeners, from the outbox: each goes on where it stopped, at its own pace, and misses none. */
export class EventFeed {
  readonly #outbox: Outbox
  readonly #loop: Loop
  readonly #listeners = new Set<() => void>()
  #newest: EventPosition | undefined

  constructor (outbox: Outbox, onFault: (error: unknown) => void) {
    this.#outbox = outbox
    this.#loop = new Loop(async () => {
      if (this.#listeners.size > 0) await this.#look()
      return false
    }, { idle: LOOK, onFault })
  }

  start (): void { this.#loop.start() }

  /** Something was recorded in this process. */
  wake (): void { if (this.#listeners.size > 0) this.#loop.wake() }

  async stop (): Promise<void> { await this.#loop.stop() }

  /** Those after a position, and then each as it comes, until `ended` is aborted. */
  async * after (from: EventPosition, ended: AbortSignal): AsyncGenerator<Event> {
    let wake = (): void => {}
    const listener = (): void => { wake() }
    this.#listeners.add(listener)
    ended.addEventListener('abort', listener, { once: true })
    try {
      let position = from
      while (!ended.aborted) {
        const woken = new Promise<void>((resolve) => { wake = resolve })
        const found = await this.#outbox.after(position, PAGE)
        for (const recorded of found) {
          yield recorded.event
          position = recorded
        }
        if (found.length < PAGE && !ended.aborted) await woken
      }
    } finally {
      this.#listeners.delete(listener)
    }
  }

  async #look (): Promise<void> {
    const last = await this.#outbox.last()
    if (last === undefined || (last.xid === this.#newest?.xid && last.position === this.#newest.position)) return
    this.#newest = last
    for (const listener of this.#listeners) listener()
  }
}

/** Tells whether a type is among those that patterns such as `recipe.*,product.created` name; undefined names all. */
export function typeFilter (patterns: string | undefined): (type: string) => boolean {
  if (patterns === undefined) return () => true
  const matchers = patterns.split(',').map((pattern) => compileGlob(pattern.trim()))
  return (type) => matchers.some((matches) => matches(type))
}
