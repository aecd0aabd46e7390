/** Sums by stretches of time of one width, the newest so many of them, in a ring. */
export class Buckets {
  /** Milliseconds. */
  readonly width: number
  readonly #count: number
  readonly #fields: number
  readonly #sums: Float64Array
  /** The number of the newest bucket, counted from the epoch. */
  #newest = 0
  #last = 0

  constructor (width: number, count: number, fields: number) {
    this.width = width
    this.#count = count
    this.#fields = fields
    this.#sums = new Float64Array(count * fields)
  }

  /** When something other than zeros was last added, in milliseconds since the epoch; 0 for never. */
  get last (): number { return this.#last }

  /** @param at milliseconds since the epoch; what is older than the oldest bucket is left out */
  add (at: number, values: readonly number[]): void {
    const bucket = Math.floor(at / this.width)
    this.#advance(bucket)
    if (values.some((value) => value !== 0)) this.#last = at
    if (bucket <= this.#newest - this.#count) return
    const start = (bucket % this.#count) * this.#fields
    values.forEach((value, field) => { this.#sums[start + field]! += value })
  }

  /** Start of the bucket so many before the one of `now`. */
  startOf (now: number, back: number): number { return (Math.floor(now / this.width) - back) * this.width }

  /** The last `count` buckets up to the one of `now`, oldest first: start and sums. */
  read (now: number, count: number): [start: number, sums: Float64Array][] {
    this.#advance(Math.floor(now / this.width))
    return Array.from({ length: count }, (_, at) => {
      const bucket = this.#newest - count + 1 + at
      const start = (bucket % this.#count) * this.#fields
      return [bucket * this.width, this.#sums.slice(start, start + this.#fields)]
    })
  }

  #advance (bucket: number): void {
    if (bucket <= this.#newest) return
    const stale = Math.min(bucket - this.#newest, this.#count)
    for (let old = bucket - stale + 1; old <= bucket; old++) {
      const start = (old % this.#count) * this.#fields
      this.#sums.fill(0, start, start + this.#fields)
    }
    this.#newest = bucket
  }
}
