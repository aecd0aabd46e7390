import { withDeadline } from '../deadline.js'
import type { Invalidation } from '../ledger.js'
import type { ChangeListener, InForce } from './backend.js'
import { parsed } from './parsed.js'

/** How often the connection is proved, in milliseconds. With the deadlines on top it bounds how long a lost bus goes unnoticed. */
const PULSE_INTERVAL = 250
/** How long the subscription may take to answer, in milliseconds. */
const PROOF_DEADLINE = 300

/**
 * What is announced behind the stamp: who (`s`), in which namespace (`n`), and the key (`k`) or the invalidation (`i`); neither of
 * them when that was too long to be said. A key whose lease was given back (`r`) is no change, and its stamp is 0.
 */
export interface Announcement { v: 1, s: string, n: string, k?: string, i?: Invalidation, r?: string }

/** What the shared store says of itself at each beat. */
export interface Pulse { stamp: number, epoch: string, skew: number }

/** A connection on which announcements arrive. */
export interface Subscription {
  /** Called once: where to bring each announcement (the stamp, a space, JSON), and whom to tell that the connection is lost. */
  listen (hear: (message: string) => void, lost: () => void): void
  /** Connects where that is needed. Settles over a connection that lives. */
  prove (): Promise<unknown>
}

export interface FollowerOptions {
  subscription: Subscription
  /** Whether an announcement is this process's own. */
  isOwn: (source: string) => boolean
  listener: ChangeListener
  /** @param heard the highest stamp heard of so far, 0 for none */
  pulse: (heard: number) => Promise<Pulse>
  /** Every invalidation in force. */
  inForce: () => Promise<InForce[]>
}

/**
 * Listens to the other processes' changes and knows when it may have missed one: stamps have no gaps, so a gap, a new epoch, or a
 * stamp that never arrives calls for a resync; a connection that is closed or does not answer in time means that nothing kept in
 * memory can be trusted until it is back.
 */
export class Follower {
  #isFollowing = false
  #options: FollowerOptions
  #last: number | undefined
  #epoch: string | undefined
  #awaited: number | undefined
  #timer: NodeJS.Timeout
  #beating = false
  #resyncing: Promise<void> | undefined

  constructor (options: FollowerOptions) {
    this.#options = options
    options.subscription.listen((message) => { this.#hear(message) }, () => { this.#lose() })
    this.#timer = setInterval(() => { void this.beat() }, PULSE_INTERVAL)
    this.#timer.unref()
  }

  get isFollowing (): boolean { return this.#isFollowing }

  /** Proves both connections now; called by the timer, and once at the start. Never rejects. */
  async beat (): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    try {
      await withDeadline(this.#options.subscription.prove(), PROOF_DEADLINE)
      const heard = this.#last
      const pulse = await this.#options.pulse(heard ?? 0)
      // What was heard before the question is in the answer; what comes behind it may have been heard first.
      const isAnew = pulse.epoch !== this.#epoch || (heard !== undefined && pulse.stamp < heard)
      if (isAnew) this.#last = undefined
      const missed = this.#last === undefined ||
        (this.#awaited !== undefined && this.#last < this.#awaited) || (!this.isFollowing && pulse.stamp !== this.#last)
      this.#epoch = pulse.epoch
      this.#awaited = pulse.stamp
      if (missed) await this.#resync(pulse.stamp)
      this.#isFollowing = true
    } catch {
      // Whatever it was, the bus cannot be relied on; the operations that need the store report the fault themselves.
      this.#lose()
    } finally {
      this.#beating = false
    }
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#lose()
  }

  #lose (): void {
    if (!this.#isFollowing) return
    this.#isFollowing = false
    this.#options.listener.onLost()
  }

  #hear (message: string): void {
    const space = message.indexOf(' ')
    const stamp = Number(message.slice(0, space))
    const announcement = Number.isSafeInteger(stamp) ? readAnnouncement(message.slice(space + 1)) : undefined
    if (announcement?.r !== undefined) {
      if (!this.#options.isOwn(announcement.s)) this.#options.listener.onRelease(announcement.n, announcement.r)
      return
    }
    const gap = this.#last !== undefined && stamp > this.#last + 1
    if (announcement !== undefined && (this.#last === undefined || stamp > this.#last)) this.#last = stamp
    if (announcement === undefined || gap) this.#catchUp()
    if (announcement === undefined || this.#options.isOwn(announcement.s)) return
    const { n, k, i } = announcement
    if (k === undefined && i === undefined) this.#catchUp()
    if (k !== undefined) this.#options.listener.onChange({ kind: 'key', namespace: n, key: k, stamp })
    if (i !== undefined) this.#options.listener.onChange({ kind: 'invalidation', namespace: n, what: i, stamp })
  }

  #catchUp (): void {
    this.#lose()
    // One that is under way may have asked too early.
    const before = this.#resyncing?.catch(() => {}) ?? Promise.resolve()
    void before.then(async () => { await this.#resync(this.#last ?? 0) }).then(() => { this.#isFollowing = true }, () => { this.#last = undefined })
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
  const { v, s, n, k, i, r } = parsed<Partial<Announcement>>(text) ?? {}
  const { tags = [], pattern = '' } = i ?? {}
  const isSound = v === 1 && typeof s === 'string' && typeof n === 'string' && [k, r].every((key) => key === undefined || typeof key === 'string') &&
    Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') && typeof pattern === 'string'
  return isSound ? { v, s, n, ...k === undefined ? {} : { k }, ...i === undefined ? {} : { i }, ...r === undefined ? {} : { r } } : undefined
}
