import type { StoredEntry } from '../entry.js'
import type { Segment } from './segment.js'

/** A change of one key that is in the journal, and not in the durable tier yet. */
export interface Pending {
  readonly name: string
  readonly namespace: string
  readonly key: string
  readonly seq: number
  /** Whether an earlier life of the process left it: the tier may have something newer, whose acknowledgement a crash cut off. */
  readonly isResumed: boolean
  /** Undefined deletes. */
  entry: StoredEntry | undefined
  /** What it counts for, in bytes. */
  readonly bytes: number
  /** Where the journal has it. */
  segment: Segment
  /** When the first change of the key was queued that is not in the tier yet, in milliseconds. */
  since: number
  tries: number
  /** Not to be tried before, in milliseconds. */
  notBefore: number
}

/** The newest change of each key that waits for the durable tier: a later one takes the place of an earlier one. */
export class WriteQueue {
  bytes = 0
  #waiting = new Map<string, Pending>()
  #underway = new Map<string, Pending>()
  /** Whoever was given to be written and then replaced is no longer counted, though its write goes on. */
  get length (): number { return this.#waiting.size + this.#underway.size }

  /** The newest change of a key. */
  get (name: string): Pending | undefined { return this.#waiting.get(name) ?? this.#underway.get(name) }

  /** Every change: of a key that has one under way and one that waits, the newer one comes last. */
  * all (): IterableIterator<Pending> {
    yield * this.#underway.values()
    yield * this.#waiting.values()
  }

  /** The age of the oldest change in milliseconds, 0 when there is none. */
  age (now: number): number {
    let since = now
    for (const pending of [firstOf(this.#underway), firstOf(this.#waiting)]) since = Math.min(since, pending?.since ?? now)
    return now - since
  }

  /** @returns the change that it replaces */
  put (pending: Pending): Pending | undefined {
    const replaced = this.#waiting.get(pending.name)
    if (replaced !== undefined) {
      this.bytes -= replaced.bytes
      pending.since = Math.min(pending.since, replaced.since)
    }
    this.#waiting.set(pending.name, pending)
    this.bytes += pending.bytes
    return replaced
  }

  /** The next changes to be written, the oldest first, up to so many and so many bytes (and one at least). */
  take (limit: number, maxBytes: number, now: number): Pending[] {
    const taken: Pending[] = []
    let bytes = 0
    for (const pending of this.#waiting.values()) {
      if (taken.length === limit || (taken.length > 0 && bytes + pending.bytes > maxBytes)) break
      // A key's changes go one after the other.
      if (pending.notBefore > now || this.#underway.has(pending.name)) continue
      taken.push(pending)
      bytes += pending.bytes
    }
    for (const pending of taken) {
      this.#waiting.delete(pending.name)
      this.#underway.set(pending.name, pending)
    }
    return taken
  }

  /** A change that was taken is over with. */
  done (pending: Pending): void {
    if (this.#underway.get(pending.name) !== pending) return
    this.#underway.delete(pending.name)
    this.bytes -= pending.bytes
  }

  /** A change that was taken has to be tried again. @returns whether it still counts: a later one may have come */
  back (pending: Pending): boolean {
    if (this.#underway.get(pending.name) !== pending) return false
    this.#underway.delete(pending.name)
    if (this.#waiting.has(pending.name)) {
      this.bytes -= pending.bytes
      return false
    }
    this.#waiting.set(pending.name, pending)
    return true
  }

  /** Something newer of the key is in the tier: what waits is not to be written, what is under way not to be read. @returns what waited */
  supersede (name: string, seq: number): Pending[] {
    const superseded: Pending[] = []
    for (const changes of [this.#waiting, this.#underway]) {
      const pending = changes.get(name)
      if (pending === undefined || pending.seq > seq) continue
      changes.delete(name)
      this.bytes -= pending.bytes
      if (changes === this.#waiting) superseded.push(pending)
    }
    return superseded
  }
}

const firstOf = (changes: Map<string, Pending>): Pending | undefined => changes.values().next().value
