import { deepFreeze, isContainer, weightOf } from './copy.js'
import { decode } from './encoding.js'
import type { EncodedValue } from './entry.js'
import { Shape, Shapes } from './shapes.js'

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

/** The words of a place. A hit reads none of them: what it takes time for is to fetch lines of memory. */
const SHIFT = 2
/** The slot whose value has the place, and one more: zero is none. */
const SLOT = 0
/** The same of the slot that asked for it last. */
const NOTE = 1
/** The reads of the entry when another last wanted the place: it was used since if there are others now. */
const READS = 2
const WEIGHT = 3

/** Nobody can change the value, so what is held is the promise of it, which every caller gets. */
const UNCHANGING = new Shape('', -1)

/** What is kept with an entry, where a hit reads anyway. */
export interface SlotMarks {
  /** Whether the value at the slot has a place here. */
  isDecoded (slot: number): boolean
  setDecoded (slot: number, isDecoded: boolean): void
  /** Reads of the entry since it was written. */
  accessCount (slot: number): number
}

/**
 * The decoded form of entries in memory that are asked for again and again, because copying it takes a tenth of the time of parsing
 * text. Each slot has one place in a table, which it shares with others; a value gets it when it is asked for a second time (the
 * first time leaves a note), and keeps it while it is used.
 *
 * It holds at most 16 384 values and 16 MiB, or an eighth of the cache's `max_memory` where that is less. These bytes come on top
 * of `max_memory`.
 */
export class DecodedValues {
  #places = new Int32Array(0)
  /** By place a value's shape, and beside it the value. */
  #held: unknown[] = []
  /** What callers share; made for the first of them. A promise, because that is what each of them gets. */
  #shared: (Promise<unknown> | undefined)[] = []
  #shapes = new Shapes()
  #marks: SlotMarks
  #budget: number
  #bytes = 0
  #hand = 0

  /** @param maxMemory the cache's limit */
  constructor (maxMemory: number, marks: SlotMarks) {
    this.#budget = budgetOf(maxMemory)
    this.#marks = marks
  }

  /** What they take, by `weightOf`. */
  get bytes (): number { return this.#bytes }

  /** A copy of the value at a slot, which its caller may change; undefined when it has no place. */
  copy (slot: number): Promise<unknown> | undefined {
    if (!this.#marks.isDecoded(slot)) return undefined
    const held = this.#held
    const at = (slot & (PLACES - 1)) << 1
    const shape = held[at] as Shape
    return shape === UNCHANGING ? held[at + 1] as Promise<unknown> : shape.copy(held[at + 1])
  }

  /** The same from the entry's text: the second time, the value gets a place. */
  decode (slot: number, encoded: EncodedValue): Promise<unknown> {
    const value = decode(encoded)
    if (encoded.length > LONGEST) return Promise.resolve(value)
    if (this.#places.length === 0) this.#open()
    const note = (placeOf(slot) << SHIFT) + NOTE
    if (this.#places[note] === slot + 1 && this.#admit(slot, value)) return this.copy(slot) as Promise<unknown>
    this.#places[note] = slot + 1
    return Promise.resolve(value)
  }

  /** The value at a slot, frozen, and the same for all who ask; undefined when it has no place, or nobody asked for it so. */
  shared (slot: number): Promise<unknown> | undefined {
    return this.#marks.isDecoded(slot) ? this.#shared[slot & (PLACES - 1)] : undefined
  }

  /** The same from the entry's text; it is kept if there is room. */
  share (slot: number, encoded: EncodedValue): Promise<unknown> {
    if (this.#places.length === 0) this.#open()
    const shared = Promise.resolve(deepFreeze(decode(encoded)))
    if (encoded.length > LONGEST || !(this.#marks.isDecoded(slot) || this.#admit(slot, decode(encoded)))) return shared
    const at = placeOf(slot) << SHIFT
    const weight = this.#places[at + WEIGHT] as number
    this.#setUsed(placeOf(slot))
    this.#makeRoom(weight)
    if (this.#marks.isDecoded(slot)) {
      this.#shared[placeOf(slot)] = shared
      this.#bytes += weight
      this.#places[at + WEIGHT] = 2 * weight
    }
    return shared
  }

  /** The entry at a slot went, or another took its place. */
  drop (slot: number): void {
    if (this.#places.length === 0) return
    const at = placeOf(slot) << SHIFT
    if (this.#places[at + SLOT] === slot + 1) this.#empty(placeOf(slot))
    if (this.#places[at + NOTE] === slot + 1) this.#places[at + NOTE] = 0
  }

  /** Takes a new limit of the cache's. */
  configure (maxMemory: number): void {
    this.#budget = budgetOf(maxMemory)
    this.#makeRoom(0)
  }

  /** Whether there is room for the value now. */
  #admit (slot: number, value: unknown): boolean {
    const place = placeOf(slot)
    if (this.#spares(place)) return false
    const weight = weightOf(value)
    if (weight > this.#budget * LARGEST) return false
    this.#empty(place)
    this.#makeRoom(weight)
    this.#bytes += weight
    const isUnchanging = !isContainer(value)
    this.#held[place << 1] = isUnchanging ? UNCHANGING : this.#shapes.at(this.#shapes.hold(value))
    this.#held[(place << 1) + 1] = isUnchanging ? Promise.resolve(value) : value
    this.#places[(place << SHIFT) + SLOT] = slot + 1
    this.#places[(place << SHIFT) + WEIGHT] = weight
    this.#setUsed(place)
    this.#marks.setDecoded(slot, true)
    return true
  }

  /** Whether the value in a place was used since it was last asked: it stays for another round. */
  #spares (place: number): boolean {
    const at = place << SHIFT
    if (this.#places[at + SLOT] === 0) return false
    const reads = this.#reads(place)
    const isUsed = this.#places[at + READS] !== reads
    this.#places[at + READS] = reads
    return isUsed
  }

  #setUsed (place: number): void { this.#places[(place << SHIFT) + READS] = this.#reads(place) - 1 }

  /** As a place keeps them. */
  #reads (place: number): number { return this.#marks.accessCount(this.#places[(place << SHIFT) + SLOT] as number - 1) | 0 }

  /** By a clock's hand. */
  #makeRoom (weight: number): void {
    while (this.#bytes > 0 && this.#bytes + weight > this.#budget) {
      this.#hand = (this.#hand + 1) & (PLACES - 1)
      if (!this.#spares(this.#hand)) this.#empty(this.#hand)
    }
  }

  #empty (place: number): void {
    const at = place << SHIFT
    const slot = this.#places[at + SLOT] as number - 1
    if (slot === -1) return
    this.#bytes -= this.#places[at + WEIGHT] as number
    const shape = this.#held[place << 1] as Shape
    if (shape !== UNCHANGING) this.#shapes.release(shape.number)
    this.#marks.setDecoded(slot, false)
    this.#places[at + SLOT] = 0
    this.#places[at + WEIGHT] = 0
    this.#held[place << 1] = undefined
    this.#held[(place << 1) + 1] = undefined
    this.#shared[place] = undefined
  }

  #open (): void {
    this.#places = new Int32Array(PLACES << SHIFT)
    this.#held = new Array<unknown>(2 * PLACES).fill(undefined)
    this.#shared = new Array<Promise<unknown> | undefined>(PLACES).fill(undefined)
  }
}

const placeOf = (slot: number): number => slot & (PLACES - 1)

const budgetOf = (maxMemory: number): number => Math.min(DECODED_BYTES, maxMemory * DECODED_SHARE)
