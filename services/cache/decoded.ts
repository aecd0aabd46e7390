import { copyOf, deepFreeze, isFlat, weightOf } from './copy.js'
import { decode } from './encoding.js'
import type { EncodedValue } from './entry.js'

/** Places, a power of two. */
const PLACES = 16_384
/** Bytes that decoded values may take in all, as `weightOf` counts them, however much memory the cache may take. */
export const DECODED_BYTES = 16 * 2 ** 20
/** The part of a cache's `max_memory` that they may take on top of it. */
export const DECODED_SHARE = 1 / 8
/** The part of their own bytes that one value may take. */
const LARGEST = 1 / 64
/** A longer text takes too long to be decoded for a mere guess that it is asked for again. */
const LONGEST = 2 ** 18

/** How a value is copied. */
const PLAIN = 0
const FLAT_OBJECT = 1
const FLAT_LIST = 2
const NESTED = 3
/** Beside it: the value was asked for since another last wanted its place. */
const USED = 4

/**
 * The decoded form of entries in memory that are asked for again and again, because copying it takes a tenth of the time of parsing
 * text. Each slot has one place in a table, which it shares with others; a value gets it when it is asked for a second time (the
 * first time leaves a note), and keeps it while it is used.
 *
 * It holds at most 16 384 values and 16 MiB, or an eighth of the cache's `max_memory` where that is less. These bytes come on top
 * of `max_memory`.
 */
export class DecodedValues {
  #values: unknown[] = []
  /** What callers share; made for the first of them. A promise, because that is what each of them gets. */
  #shared: (Promise<unknown> | undefined)[] = []
  /** By place, the slot whose value has it, and one more: zero is none. */
  #slots = new Int32Array(0)
  /** The same of the slot that asked for it last. */
  #notes = new Int32Array(0)
  #marks = new Uint8Array(0)
  #weights = new Float64Array(0)
  #budget: number
  #bytes = 0
  #hand = 0

  /** @param maxMemory the cache's limit */
  constructor (maxMemory: number) { this.#budget = budgetOf(maxMemory) }

  /** What they take, by `weightOf`. */
  get bytes (): number { return this.#bytes }

  /** A copy of the value at a slot, which its caller may change; undefined when it has no place. */
  copy (slot: number): unknown {
    const place = slot & (PLACES - 1)
    if (this.#slots[place] !== slot + 1) return undefined
    const mark = this.#marks[place] as number
    if (mark < USED) this.#marks[place] = mark | USED
    const value = this.#values[place]
    switch (mark & (USED - 1)) {
      case FLAT_OBJECT: return { ...value as object }
      case FLAT_LIST: return (value as unknown[]).slice()
      case NESTED: return copyOf(value)
      default: return value
    }
  }

  /** The same from the entry's text: the second time, the value gets a place. */
  decode (slot: number, encoded: EncodedValue): unknown {
    if (encoded.length > LONGEST) return decode(encoded)
    if (this.#notes.length === 0) this.#open()
    const place = slot & (PLACES - 1)
    const value = decode(encoded)
    if (this.#notes[place] !== slot + 1) {
      this.#notes[place] = slot + 1
      return value
    }
    return this.#admit(place, slot, value) ? copyOf(value) : value
  }

  /** The value at a slot, frozen: the same for all who ask, as long as it keeps its place. */
  shared (slot: number, encoded: EncodedValue): Promise<unknown> {
    const place = slot & (PLACES - 1)
    const shared = this.#slots[place] === slot + 1 ? this.#shared[place] : undefined
    if (shared === undefined) return this.#share(slot, encoded)
    this.#marks[place]! |= USED
    return shared
  }

  /** The entry at a slot went, or another took its place. */
  drop (slot: number): void {
    const place = slot & (PLACES - 1)
    if (this.#slots[place] === slot + 1) this.#empty(place)
    if (this.#notes[place] === slot + 1) this.#notes[place] = 0
  }

  /** Takes a new limit of the cache's. */
  configure (maxMemory: number): void {
    this.#budget = budgetOf(maxMemory)
    this.#makeRoom(0)
  }

  #share (slot: number, encoded: EncodedValue): Promise<unknown> {
    if (this.#notes.length === 0) this.#open()
    const place = slot & (PLACES - 1)
    const shared = Promise.resolve(deepFreeze(decode(encoded)))
    if (encoded.length > LONGEST) return shared
    if (this.#slots[place] !== slot + 1 && !this.#admit(place, slot, decode(encoded))) return shared
    const weight = this.#weights[place] as number
    this.#marks[place]! |= USED
    this.#makeRoom(weight)
    if (this.#slots[place] === slot + 1) {
      this.#shared[place] = shared
      this.#bytes += weight
      this.#weights[place] = 2 * weight
    }
    return shared
  }

  /** Whether there is room for the value now. */
  #admit (place: number, slot: number, value: unknown): boolean {
    if (this.#marks[place] as number >= USED) {
      this.#marks[place]! -= USED
      return false
    }
    const weight = weightOf(value)
    if (weight > this.#budget * LARGEST) return false
    this.#empty(place)
    this.#makeRoom(weight)
    this.#bytes += weight
    this.#slots[place] = slot + 1
    this.#values[place] = value
    this.#weights[place] = weight
    this.#marks[place] = kindOf(value)
    return true
  }

  /** By a clock's hand: who was used since it last came by stays for another round. */
  #makeRoom (weight: number): void {
    while (this.#bytes > 0 && this.#bytes + weight > this.#budget) {
      this.#hand = (this.#hand + 1) & (PLACES - 1)
      if (this.#marks[this.#hand] as number >= USED) this.#marks[this.#hand]! -= USED
      else if (this.#slots[this.#hand] !== 0) this.#empty(this.#hand)
    }
  }

  #empty (place: number): void {
    this.#bytes -= this.#weights[place] as number
    this.#slots[place] = 0
    this.#marks[place] = PLAIN
    this.#weights[place] = 0
    this.#values[place] = undefined
    this.#shared[place] = undefined
  }

  #open (): void {
    this.#values = new Array<unknown>(PLACES).fill(undefined)
    this.#shared = new Array<Promise<unknown> | undefined>(PLACES).fill(undefined)
    this.#slots = new Int32Array(PLACES)
    this.#notes = new Int32Array(PLACES)
    this.#marks = new Uint8Array(PLACES)
    this.#weights = new Float64Array(PLACES)
  }
}

const budgetOf = (maxMemory: number): number => Math.min(DECODED_BYTES, maxMemory * DECODED_SHARE)

function kindOf (value: unknown): number {
  if (typeof value !== 'object' || value === null) return PLAIN
  if (!isFlat(value)) return NESTED
  return Array.isArray(value) ? FLAT_LIST : FLAT_OBJECT
}
