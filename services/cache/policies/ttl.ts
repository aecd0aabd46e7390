import { grown, type Policy } from './policy.js'

/**
 * Soonest to expire first; entries that never expire come last, and among equals the one admitted first goes.
 * A binary heap of slots, with each slot's place in it so that any entry leaves in logarithmic time.
 */
export class TtlPolicy implements Policy {
  #heap = new Int32Array(0)
  #length = 0
  #place = new Int32Array(0)
  #expiresAt = new Float64Array(0)
  #admitted = new Float64Array(0)
  #sequence = 0

  admit (slot: number, expiresAt: number): void {
    this.#expiresAt[slot] = expiresAt
    this.#admitted[slot] = ++this.#sequence
    this.#put(slot, this.#length++)
    this.#rise(slot)
  }

  touch (): void {}

  replace (slot: number, expiresAt: number, written: boolean): void {
    this.#expiresAt[slot] = expiresAt
    if (written) this.#admitted[slot] = ++this.#sequence
    this.#rise(slot)
    this.#sink(slot)
  }

  victim (): number { return this.#length === 0 ? -1 : this.#heap[0] as number }

  forget (slot: number): void {
    const place = this.#place[slot] as number
    const last = this.#heap[--this.#length] as number
    if (last === slot) return
    this.#put(last, place)
    this.#rise(last)
    this.#sink(last)
  }

  resize (capacity: number): void {
    this.#heap = grown(this.#heap, capacity)
    this.#place = grown(this.#place, capacity)
    const expiresAt = new Float64Array(capacity)
    expiresAt.set(this.#expiresAt)
    this.#expiresAt = expiresAt
    const admitted = new Float64Array(capacity)
    admitted.set(this.#admitted)
    this.#admitted = admitted
  }

  #put (slot: number, place: number): void {
    this.#heap[place] = slot
    this.#place[slot] = place
  }

  #before (a: number, b: number): boolean {
    const difference = (this.#expiresAt[a] as number) - (this.#expiresAt[b] as number)
    // Infinity - Infinity is NaN, which is as equal as two entries that never expire.
    return difference < 0 || (!(difference > 0) && (this.#admitted[a] as number) < (this.#admitted[b] as number))
  }

  #rise (slot: number): void {
    let place = this.#place[slot] as number
    while (place > 0) {
      const up = (place - 1) >> 1
      const parent = this.#heap[up] as number
      if (!this.#before(slot, parent)) break
      this.#put(parent, place)
      place = up
    }
    this.#put(slot, place)
  }

  #sink (slot: number): void {
    let place = this.#place[slot] as number
    for (;;) {
      let down = 2 * place + 1
      if (down >= this.#length) break
      if (down + 1 < this.#length && this.#before(this.#heap[down + 1] as number, this.#heap[down] as number)) down++
      const child = this.#heap[down] as number
      if (!this.#before(child, slot)) break
      this.#put(child, place)
      place = down
    }
    this.#put(slot, place)
  }
}
