import { setImmediate as turn } from 'node:timers/promises'
import { compileGlob } from '../cache/glob.js'
import { BEGINNING, type Event, type EventPosition, isBefore } from './event.js'
import { Loop } from './loop.js'
import type { Outbox } from './outbox.js'
import { RecentEvents, type RecentEventsOptions } from './recent-events.js'
import { Turns } from './turns.js'

/** Milliseconds between looks for what other processes have recorded, while anybody listens. */
const LOOK = 200
const PAGE = 100
/** Milliseconds for which what is new is read on when nobody listens any more: those who were cut off are back by then. */
const KEPT_FOR = 30_000
/** Listeners that are told in one turn of the event loop. */
const AT_ONCE = 50
/** Patterns that one listener may name. */
export const MAX_TYPE_PATTERNS = 20

/** What is read of an outbox. */
export type EventSource = Pick<Outbox, 'after' | 'last' | 'positionOf'>

/**
 * Live events for listeners, from the outbox: each goes on where it stopped, at its own pace, and misses none. What is new is read once for
 * all of them. Those who are further behind than what is kept of it read for themselves, one page at a time between them: however many
 * there are, they take a connection or two from others.
 */
export class EventFeed {
  readonly #outbox: EventSource
  readonly #loop: Loop
  readonly #listeners = new Set<() => void>()
  readonly #reads = new Turns({ waiting: 10_000, patience: 30_000 })
  readonly #keep: RecentEventsOptions
  /** Absent while nobody listens. */
  #recent: RecentEvents | undefined
  #listenedAt = -Infinity
  #newest: Promise<EventPosition> | undefined

  constructor (outbox: EventSource, onFault: (error: unknown) => void, keep: RecentEventsOptions = {}) {
    this.#outbox = outbox
    this.#keep = keep
    this.#loop = new Loop(async () => await this.#look(), { idle: LOOK, onFault })
  }

  start (): void { this.#loop.start() }

  /** Something was recorded in this process. */
  wake (): void { if (this.#listeners.size > 0) this.#loop.wake() }

  async stop (): Promise<void> { await this.#loop.stop() }

  /** Where a listener begins who wants what comes from now on. Those who ask at the same time share the answer. */
  async newest (): Promise<EventPosition> {
    this.#newest ??= this.#askNewest()
    return await this.#newest
  }

  /** Where an event stands; undefined when it is not there, or not any more. */
  async positionOf (id: string): Promise<EventPosition | undefined> {
    return this.#recent?.positionOf(id) ?? await this.#reads.take('positions', async () => await this.#outbox.positionOf(id))
  }

  /** Those after a position, and then each as it comes, until `ended` is aborted. Listeners are given the same objects. */
  async * after (from: EventPosition, ended: AbortSignal): AsyncGenerator<Event> {
    let wake = (): void => {}
    const listener = (): void => { wake() }
    this.#listeners.add(listener)
    ended.addEventListener('abort', listener, { once: true })
    if (this.#recent === undefined) this.#loop.wake()
    try {
      let position = from
      let number: number | undefined
      while (!ended.aborted) {
        const woken = new Promise<void>((resolve) => { wake = resolve })
        const recent = this.#recent
        number ??= recent?.numberAfter(position)
        if (recent === undefined || (number === undefined && isBefore(recent.newest, position))) {
          await woken
        } else if (number === undefined || !recent.isKept(number)) {
          number = undefined
          const { newest } = recent
          const found = await this.#page(position, ended)
          for (const recorded of found) {
            yield recorded.event
            position = recorded
          }
          // What had been read for all is among what was found, as far as it is there: what has been removed since is not waited for.
          if (found.length < PAGE && isBefore(position, newest)) position = newest
        } else {
          const recorded = recent.at(number)
          if (recorded === undefined) {
            await woken
          } else {
            yield recorded.event
            position = recorded
            number++
          }
        }
      }
    } catch (error) {
      if (!ended.aborted) throw error
    } finally {
      this.#listeners.delete(listener)
    }
  }

  async #page (position: EventPosition, ended: AbortSignal) {
    return await this.#reads.take('pages', async () => await this.#outbox.after(position, PAGE), ended)
  }

  async #askNewest (): Promise<EventPosition> {
    let isAsked = false
    try {
      return await this.#reads.take('newest', async () => {
        // Whoever comes from here on may have seen something recorded that the answer does not know of.
        this.#newest = undefined
        isAsked = true
        const newest = await this.#outbox.last() ?? BEGINNING
        // From there on it is read for all.
        this.#listenedAt = performance.now()
        this.#recent ??= new RecentEvents(newest, this.#keep)
        return newest
      })
    } finally {
      if (!isAsked) this.#newest = undefined
    }
  }

  async #look (): Promise<boolean> {
    const now = performance.now()
    if (this.#listeners.size > 0) {
      this.#listenedAt = now
    } else if (now - this.#listenedAt >= KEPT_FOR) {
      this.#recent = undefined
      return false
    }
    let isMore = false
    if (this.#recent === undefined) {
      const newest = await this.#outbox.last() ?? BEGINNING
      this.#recent ??= new RecentEvents(newest, this.#keep)
    } else {
      const found = await this.#outbox.after(this.#recent.newest, PAGE)
      if (found.length === 0) return false
      this.#recent.append(found)
      isMore = found.length === PAGE
    }
    // In parts: a thousand sockets are written to for some time.
    let told = 0
    for (const listener of [...this.#listeners]) {
      listener()
      if (++told % AT_ONCE === 0) await turn()
    }
    return isMore
  }
}

/** Tells whether a type is among those that patterns such as `recipe.*,product.created` name; undefined names all. */
export function typeFilter (patterns: string | undefined): (type: string) => boolean {
  if (patterns === undefined) return () => true
  const matchers = patterns.split(',').map((pattern) => compileGlob(pattern.trim()))
  return (type) => matchers.some((matches) => matches(type))
}
