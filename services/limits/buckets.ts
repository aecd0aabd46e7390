import { randomBytes } from 'node:crypto'
import { type Decision, judge, type Policy } from './gcra.js'
import { MAX_RATES } from './rates.js'

/** Callers that are told apart at once. */
const CAPACITY = 100_000
/** Buckets that newcomers share while all others are in use: each of them has the quota of one caller for many. */
const SHARED = 256
/** Buckets that are looked at to find one that is full again. */
const TRIES = 64
const FIRST_ROOM = 1024

/**
 * How far callers have used up a quota, in this process: their theoretical arrival times. Bounded, and nobody gets a new bucket by
 * making the table forget an old one: only buckets that are full again are given to others. While there is none, newcomers share a few.
 */
export class Buckets {
  readonly #capacity: number
  readonly #rows = new Map<string, number>()
  #callers: string[] = []
  /** Theoretical arrival times in milliseconds, `MAX_RATES` for each row; the first `SHARED` rows are the shared ones. */
  #times: Float64Array
  #hand = 0
  readonly #ahead: number[] = new Array<number>(MAX_RATES).fill(0)
  /** Nobody is to choose whom they share with. */
  readonly #seed = randomBytes(4).readUInt32LE()

  constructor (capacity = CAPACITY) {
    this.#capacity = capacity
    this.#times = new Float64Array((SHARED + Math.min(capacity, FIRST_ROOM)) * MAX_RATES)
  }

  /** Callers with a bucket of their own, full ones included. */
  get size (): number { return this.#rows.size }

  /** Takes from the caller's bucket, or from one that it shares. */
  take (caller: string, policies: readonly Policy[], cost: number, now: number, decision: Decision): Decision {
    const row = this.#rows.get(caller) ?? this.#rowForNew(caller, now) ?? this.#sharedRow(caller)
    const ahead = this.#read(row, policies, now)
    judge(policies, ahead, cost, decision)
    if (decision.isAllowed) for (let i = 0; i < policies.length; i++) this.#times[row * MAX_RATES + i] = now + ahead[i]!
    return decision
  }

  /** Judges what is known of the caller, and takes nothing; undefined when nothing is known. */
  look (caller: string, policies: readonly Policy[], cost: number, now: number, decision: Decision): Decision | undefined {
    const row = this.#rows.get(caller)
    return row === undefined ? undefined : judge(policies, this.#read(row, policies, now), cost, decision)
  }

  /** How far ahead the caller is, in milliseconds by policy; zeros when nothing is known. The array is used again by the next call. */
  ahead (caller: string, policies: readonly Policy[], now: number): readonly number[] {
    const row = this.#rows.get(caller)
    return row === undefined ? this.#ahead.fill(0) : this.#read(row, policies, now)
  }

  /** Takes over what is known elsewhere: where the caller is at least, or exactly. Forgets it when there is no room. */
  learn (caller: string, ahead: readonly number[], now: number, isExact: boolean): void {
    const row = this.#rows.get(caller) ?? this.#rowForNew(caller, now)
    if (row === undefined) return
    for (let i = 0; i < ahead.length; i++) {
      const at = row * MAX_RATES + i
      const time = now + ahead[i]!
      if (isExact || time > this.#times[at]!) this.#times[at] = time
    }
  }

  /**
   * Has policies take the place of others for everybody: each goes on where that with the nearest window was, in proportion, so that who
   * has used up all of a quota has used up what takes its place.
   */
  carryOver (before: readonly Policy[], after: readonly Policy[], now: number): void {
    const sources = after.map(({ window }) => nearest(before, window))
    const ahead = new Array<number>(before.length)
    for (let at = 0; at < this.#times.length; at += MAX_RATES) {
      for (let i = 0; i < before.length; i++) ahead[i] = Math.min(Math.max(0, this.#times[at + i]! - now), before[i]!.window)
      for (let i = 0; i < MAX_RATES; i++) {
        const source = sources[i]
        const used = source === undefined ? 0 : ahead[source]! / before[source]!.window
        this.#times[at + i] = used === 0 ? 0 : now + used * after[i]!.window
      }
    }
  }

  #read (row: number, policies: readonly Policy[], now: number): number[] {
    const ahead = this.#ahead
    for (let i = 0; i < policies.length; i++) {
      const time = this.#times[row * MAX_RATES + i]! - now
      const { window } = policies[i]!
      // Further ahead than the window is only who had another policy before.
      ahead[i] = time > window ? window : time > 0 ? time : 0
    }
    return ahead
  }

  #rowForNew (caller: string, now: number): number | undefined {
    const row = this.#room(now)
    if (row === undefined) return undefined
    this.#callers[row] = caller
    this.#rows.set(caller, row)
    return row
  }

  #room (now: number): number | undefined {
    const used = SHARED + this.#rows.size
    if ((used + 1) * MAX_RATES <= this.#times.length) return used
    const free = this.#reclaim(now)
    if (free !== undefined || this.#rows.size >= this.#capacity) return free
    const times = new Float64Array(Math.min(2 * this.#times.length, (SHARED + this.#capacity) * MAX_RATES))
    times.set(this.#times)
    this.#times = times
    return used
  }

  /** A row whose bucket is full again, taken from its caller. */
  #reclaim (now: number): number | undefined {
    for (let tries = 0; tries < Math.min(TRIES, this.#rows.size); tries++) {
      const row = SHARED + this.#hand
      this.#hand = (this.#hand + 1) % this.#rows.size
      if (this.#isInUse(row, now)) continue
      this.#rows.delete(this.#callers[row]!)
      this.#times.fill(0, row * MAX_RATES, (row + 1) * MAX_RATES)
      return row
    }
    return undefined
  }

  #isInUse (row: number, now: number): boolean {
    for (let i = 0; i < MAX_RATES; i++) if (this.#times[row * MAX_RATES + i]! > now) return true
    return false
  }

  #sharedRow (caller: string): number {
    let hash = this.#seed
    for (let i = 0; i < caller.length; i++) hash = Math.imul(hash ^ caller.charCodeAt(i), 0x01000193)
    return ((hash ^ hash >>> 15) >>> 0) % SHARED
  }
}

/** The place of the policy whose window is nearest to this one. */
function nearest (policies: readonly Policy[], window: number): number {
  const distances = policies.map((policy) => Math.abs(Math.log(policy.window / window)))
  return distances.indexOf(Math.min(...distances))
}
