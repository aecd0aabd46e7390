import { inSlices } from '../cache/slices.js'
import { type Change, NAMES, type Row, type RowName } from './rows.js'

/** Where the rows of a group come from. */
export interface RowSource {
  /** Names of rows in which something was counted. */
  names (): Iterable<string>
  row (name: string): Row | undefined
}

/** What this process has counted, as far as it is asked for one by one: what has changed since it was told last. */
export class Tally {
  readonly #sources = new Map<string, () => RowSource>()
  readonly #told = new Map<string, Map<string, Row>>()
  readonly #asked = new Map<string, Set<string>>()
  #under: Promise<unknown> = Promise.resolve()

  /** @param open is called each time that somebody asks */
  add (group: string, open: () => RowSource): void {
    this.#sources.set(group, open)
    this.#told.set(group, new Map())
    this.#asked.set(group, new Set())
  }

  /** @param asked rows that are told of from now on, though the source may not name them */
  async changes (asked: readonly RowName[]): Promise<Change[]> {
    for (const [group, name] of asked) {
      const names = this.#asked.get(group)
      if (names !== undefined && names.size < NAMES) names.add(name)
    }
    // One at a time: each tells what the one before has not.
    const changes = this.#under.then(async () => await this.#collect())
    this.#under = changes.catch(() => {})
    return await changes
  }

  async #collect (): Promise<Change[]> {
    const changes: Change[] = []
    for (const [group, open] of this.#sources) {
      const told = this.#told.get(group) as Map<string, Row>
      const source = open()
      const names = new Set([...source.names(), ...this.#asked.get(group) as Set<string>])
      const order = [...names]
      await inSlices(order.length, (at) => {
        const name = order[at] as string
        const row = source.row(name)
        const before = told.get(name)
        if (row === undefined || isSame(row, before)) return
        told.set(name, row)
        changes.push([group, name, row])
      })
      for (const name of told.keys()) {
        if (names.has(name)) continue
        told.delete(name)
        changes.push([group, name, null])
      }
    }
    return changes
  }
}

/** What was never told was zero. */
function isSame (row: Row, before: Row | undefined): boolean {
  for (const name in row) if (row[name] !== (before?.[name] ?? 0)) return false
  return true
}
