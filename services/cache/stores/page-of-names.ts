/** Names kept beyond those of the page before the rest is let go. */
const SLACK = 4096

/**
 * Gathers names in any order, some of them maybe more than once, for a page of them in order. By name, so that a page boundary loses none
 * and repeats none while others write. What is told of a name is kept only while it may be on the page.
 */
export class PageOfNames<Told> {
  #seen = new Set<string>()
  #candidates = new Map<string, Told>()
  #after: string | undefined
  #offset: number
  #limit: number
  /** No name behind it is on the page, nor the first one behind the page. */
  #last: string | undefined

  /** @param after the name that the page before ended at; then `offset` is of no account */
  constructor ({ after, offset = 0, limit }: { after?: string | undefined, offset?: number | undefined, limit: number }) {
    this.#after = after
    this.#offset = after === undefined ? offset : 0
    this.#limit = limit
  }

  has (name: string): boolean { return this.#seen.has(name) }

  /** The last thing told of a name counts. */
  add (name: string, told: Told): void {
    this.#seen.add(name)
    if ((this.#after !== undefined && name <= this.#after) || (this.#last !== undefined && name > this.#last)) return
    this.#candidates.set(name, told)
    const wanted = this.#offset + this.#limit + 1
    if (this.#candidates.size < 2 * wanted + SLACK) return
    const kept = [...this.#candidates.keys()].sort().slice(0, wanted)
    this.#candidates = new Map(kept.map((name) => [name, this.#candidates.get(name) as Told]))
    this.#last = kept.at(-1)
  }

  /** Names on all pages. */
  get total (): number { return this.#seen.size }

  /** The page, and the name to go on after; undefined where there is no more. */
  page (): { names: [name: string, told: Told][], next: string | undefined } {
    const names = [...this.#candidates.keys()].sort().slice(this.#offset, this.#offset + this.#limit + 1)
    const page = names.slice(0, this.#limit)
    return { names: page.map((name) => [name, this.#candidates.get(name) as Told]), next: names.length > page.length ? page.at(-1) : undefined }
  }
}
