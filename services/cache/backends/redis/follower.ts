import type { Redis } from 'ioredis'
import { withDeadline } from '../../deadline.js'
import type { Invalidation } from '../../ledger.js'
import type { ChangeListener, InForce } from '../backend.js'
import { parsed } from './parsed.js'

/** How often the connection is proved, in milliseconds. With the commands' deadline on top it bounds how long a lost bus goes unnoticed. */
const PULSE_INTERVAL = 250
/** How long the subscription may take to answer, in milliseconds. */
const SUBSCRIBE_DEADLINE = 300

/** What travels on the channel behind the stamp: who (`s`), in which namespace (`n`), and the key (`k`) or the invalidation (`i`). */
export interface Announcement { v: 1, s: string, n: string, k?: string, i?: Invalidation }

/** What the server says of itself at each beat. */
export interface Pulse { stamp: number, epoch: string, skew: number }

export interface FollowerOptions {
  /** A connection of its own, in subscriber mode. */
  subscriber: Redis
  channel: string
  /** Tells this process's announcements from others'. */
  source: string
  listener: ChangeListener
  pulse: () => Promise<Pulse>
  /** Every invalidation in force. */
  inForce: () => Promise<InForce[]>
}

/**
 * Listens to the other processes' changes and knows when it may have missed one: stamps have no gaps, so a gap, a new epoch, or a
 * stamp that never arrives calls for a resync; a connection that is closed or does not answer in time means that nothing kept in
 * memory can be trusted until it is back.
 */
export class RedisFollower {
  isFollowing = false
  #options: FollowerOptions
  #last: number | undefined
  #epoch: string | undefined
  #awaited: number | undefined
  #timer: NodeJS.Timeout
  #beating = false
  #resyncing: Promise<void> | undefined

  constructor (options: FollowerOptions) {
    this.#options = options
    const { subscriber, channel } = options
    subscriber.on('message', (from, message) => { if (from === channel) this.#hear(message) })
    subscriber.on('close', () => { this.isFollowing = false })
    this.#timer = setInterval(() => { void this.beat() }, PULSE_INTERVAL)
    this.#timer.unref()
  }

  /** Proves both connections now; called by the timer, and once at the start. Never rejects. */
  async beat (): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    try {
      // Subscribing again is harmless, and answers only over a connection that lives.
      await withDeadline(this.#options.subscriber.subscribe(this.#options.channel), SUBSCRIBE_DEADLINE)
      const heard = this.#last
      const pulse = await this.#options.pulse()
      // What was heard before the question is in the answer; what comes behind it may have been heard first.
      const isAnew = pulse.epoch !== this.#epoch || (heard !== undefined && pulse.stamp < heard)
      if (isAnew) this.#last = undefined
      const missed = this.#last === undefined ||
        (this.#awaited !== undefined && this.#last < this.#awaited) || (!this.isFollowing && pulse.stamp !== this.#last)
      this.#epoch = pulse.epoch
      this.#awaited = pulse.stamp
      if (missed) await this.#resync(pulse.stamp)
      this.isFollowing = true
    } catch {
      // Whatever it was, the bus cannot be relied on; the commands that need Redis report the fault themselves.
      this.isFollowing = false
    } finally {
      this.#beating = false
    }
  }

  stop (): void {
    clearInterval(this.#timer)
    this.isFollowing = false
  }

  #hear (message: string): void {
    const space = message.indexOf(' ')
    const stamp = Number(message.slice(0, space))
    const announcement = Number.isSafeInteger(stamp) ? readAnnouncement(message.slice(space + 1)) : undefined
    const gap = this.#last !== undefined && stamp > this.#last + 1
    if (announcement !== undefined && (this.#last === undefined || stamp > this.#last)) this.#last = stamp
    if (announcement === undefined || gap) {
      this.isFollowing = false
      void this.#resync(this.#last ?? 0).then(() => { this.isFollowing = true }, () => { this.#last = undefined })
    }
    if (announcement === undefined || announcement.s === this.#options.source) return
    const { n, k, i } = announcement
    if (k !== undefined) this.#options.listener.onChange({ kind: 'key', namespace: n, key: k, stamp })
    if (i !== undefined) this.#options.listener.onChange({ kind: 'invalidation', namespace: n, what: i, stamp })
  }

  async #resync (stamp: number): Promise<void> {
    this.#resyncing ??= this.#options.inForce().then((inForce) => {
      this.#options.listener.onResync(inForce, stamp)
      this.#last = Math.max(this.#last ?? 0, stamp)
    }).finally(() => { this.#resyncing = undefined })
    await this.#resyncing
  }
}

/** Undefined for what is no announcement of this version: it may mean anything. */
function readAnnouncement (text: string): Announcement | undefined {
  const { v, s, n, k, i } = parsed<Partial<Announcement>>(text) ?? {}
  const { tags = [], pattern = '' } = i ?? {}
  const isSound = v === 1 && typeof s === 'string' && typeof n === 'string' && (k === undefined || typeof k === 'string') &&
    Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') && typeof pattern === 'string'
  return isSound ? { v, s, n, ...k === undefined ? {} : { k }, ...i === undefined ? {} : { i } } : undefined
}
