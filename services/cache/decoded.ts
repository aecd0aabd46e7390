import { deepFreeze, isContainer, weightOf } from './copy.js'
import { decode } from './encoding.js'
import type { EncodedValue } from './entry.js'
import { MOST_SHAPES, Shapes } from './shapes.js'

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

/** The words of a place, in one line of the processor's cache: what a hit takes time for is to fetch such lines. */
const SHIFT = 2
/** The slot whose value has the place, and one more: zero is none. */
const SLOT = 0
/** The same of the slot that asked for it last. */
const NOTE = 1
/** The number of the value's shape, above a bit that says whether it was asked for since another last wanted the place. */
const SHAPE = 2
const USED = 1
const WEIGHT = 3

/** In place of a shape's number: nobody can change the value, so what is held is the promise of it, which every caller gets. */
const UNCHANGING = MOST_SHAPES

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
  #values: unknown[] = []
  /** What callers share; made for the first of them. A promise, because that is what each of them gets. */
  #shared: (Promise<unknown> | undefined)[] = []
  #shapes = new Shapes()
  #budget: number
  #bytes = 0
  #hand = 0

  /** @param maxMemory the cache's limit */
  constructor (maxMemory: number) { this.#budget = budgetOf(maxMemory) }

  /** What they take, by `weightOf`. */
  get bytes (): number { return this.#bytes }

  /** A copy of the value at a slot, which its caller may change; undefined when it has no place. */
  copy (slot: number): Promise<unknown> | undefined {
    const places = this.#places
    const at = (slot & (PLACES - 1)) << SHIFT
    if (places[at + SLOT] !== slot + 1) return undefined
    const shape = places[at + SHAPE] as number
    // What is written anew has to leave the processor's cache again.
    if ((shape & USED) === 0) places[at + SHAPE] = shape | USED
    const value = this.#values[slot & (PLACES - 1)]
    return shape >>> 1 === UNCHANGING ? value as Promise<unknown> : this.#shapes.at(shape >>> 1).copy(value)
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
    const places = this.#places
    const at = (slot & (PLACES - 1)) << SHIFT
    if (places[at + SLOT] !== slot + 1) return undefined
    const shape = places[at + SHAPE] as number
    if ((shape & USED) === 0) places[at + SHAPE] = shape | USED
    return this.#shared[slot & (PLACES - 1)]
  }

  /** The same from the entry's text; it is kept if there is room. */
  share (slot: number, encoded: EncodedValue): Promise<unknown> {
    if (this.#places.length === 0) this.#open()
    const shared = Promise.resolve(deepFreeze(decode(encoded)))
    if (encoded.length > LONGEST || !(this.#has(slot) || this.#admit(slot, decode(encoded)))) return shared
    const at = placeOf(slot) << SHIFT
    const weight = this.#places[at + WEIGHT] as number
    this.#places[at + SHAPE]! |= USED
    this.#makeRoom(weight)
    if (this.#has(slot)) {
      this.#shared[placeOf(slot)] = shared
      this.#bytes += weight
      this.#places[at + WEIGHT] = 2 * weight
    }
    return shared
  }

  /** The entry at a slot went, or another took its place. */
  drop (slot: number): void {
    if (this.#places.length === 0) return
    if (this.#has(slot)) this.#empty(placeOf(slot))
    const note = (placeOf(slot) << SHIFT) + NOTE
    if (this.#places[note] === slot + 1) this.#places[note] = 0
  }

  /** Takes a new limit of the cache's. */
  configure (maxMemory: number): void {
    this.#budget = budgetOf(maxMemory)
    this.#makeRoom(0)
  }

  #has (slot: number): boolean { return this.#places[(placeOf(slot) << SHIFT) + SLOT] === slot + 1 }

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
    this.#values[place] = isUnchanging ? Promise.resolve(value) : value
    const at = place << SHIFT
    this.#places[at + SLOT] = slot + 1
    this.#places[at + SHAPE] = (isUnchanging ? UNCHANGING : this.#shapes.hold(value)) << 1
    this.#places[at + WEIGHT] = weight
    return true
  }

  /** Whether the value in a place was used since it was last asked: it stays for another round. */
  #spares (place: number): boolean {
    const at = (place << SHIFT) + SHAPE
    const isUsed = ((this.#places[at] as number) & USED) !== 0
    if (isUsed) this.#places[at]! -= USED
    return isUsed
  }

  /** By a clock's hand. */
  #makeRoom (weight: number): void {
    while (this.#bytes > 0 && this.#bytes + weight > this.#budget) {
      this.#hand = (this.#hand + 1) & (PLACES - 1)
      if (!this.#spares(this.#hand)) this.#empty(this.#hand)
    }
  }

  #empty (place: number): void {
    const at = place << SHIFT
    if (this.#places[at + SLOT] === 0) return
    this.#bytes -= this.#places[at + WEIGHT] as number
    const shape = (this.#places[at + SHAPE] as number) >>> 1
    if (shape !== UNCHANGING) this.#shapes.release(shape)
    this.#places[at + SLOT] = 0
    this.#places[at + SHAPE] = 0
    this.#places[at + WEIGHT] = 0
    this.#values[place] = undefined
    this.#shared[place] = undefined
  }

  #open (): void {
    this.#places = new Int32Array(PLACES << SHIFT)
    this.#values = new Array<unknown>(PLACES).fill(undefined)
    this.#shared = new Array<Promise<unknown> | undefined>(PLACES).fill(undefined)
  }
}

const placeOf = (slot: number): number => slot & (PLACES - 1)

const budgetOf = (maxMemory: number): number => Math.min(DECODED_BYTES, maxMemory * DECODED_SHARE)
