import { type Counted, mergeTables, type Table } from '../cache/analytics/counted.js'
import { KEYS as MOST } from '../response-cache/counts.js'
import { type Change, merged, NAMES, type Row } from './rows.js'

type Rows = Map<string, Row>

/** What all processes have counted, row by row. What those had counted that have ended stays. */
export class Tallies {
  readonly #live = new Map<number, Map<string, Rows>>()
  readonly #ended = new Map<string, Rows>()
  /** Of the tables of those that have ended: what a name that is not in it may have been counted at most. */
  readonly #unseen = new Map<string, number>()
  /** Of each group, in the order in which they came. */
  readonly #names = new Map<string, Set<string>>()

  changed (process: number, changes: readonly Change[]): void {
    let groups = this.#live.get(process)
    if (groups === undefined) this.#live.set(process, groups = new Map<string, Rows>())
    for (const [group, name, row] of changes) {
      if (row === null) {
        groups.get(group)?.delete(name)
        continue
      }
      let rows = groups.get(group)
      if (rows === undefined) groups.set(group, rows = new Map<string, Row>())
      rows.set(name, row)
      if (group.startsWith('sum:')) this.#note(group, name)
    }
  }

  ended (process: number): void {
    const groups = this.#live.get(process)
    this.#live.delete(process)
    for (const [group, rows] of groups ?? []) {
      if (group.startsWith('sum:')) this.#keep(group, rows)
      else if (group.startsWith('most:')) this.#keepMost(group, rows)
    }
  }

  /** One row over all processes; without numbers where nothing was counted. */
  row (group: string, name: string): Row {
    let row: Row | undefined
    for (const rows of this.#of(group)) {
      const one = rows.get(name)
      if (one !== undefined) row = merged(group, row, one)
    }
    return row ?? {}
  }

  rows (group: string): [name: string, row: Row][] {
    const all: Rows = new Map()
    for (const rows of this.#of(group)) for (const [name, row] of rows) all.set(name, merged(group, all.get(name), row))
    return [...all]
  }

  /** Names of a group that sums, in the order in which they came: the first ten thousand, without that of all. */
  names (group: string): Iterable<string> { return this.#names.get(group) ?? [] }

  /** The most frequent names, with how often that was at most. */
  most (group: string, limit: number): [name: string, count: number][] {
    const live = [...this.#live.values()].map((groups) => tableOf(groups.get(group)))
    const all = mergeTables([...live, tableOf(this.#ended.get(group), this.#unseen.get(group))])
    return all.counted.sort((a, b) => b.count - a.count).slice(0, limit).map(({ name, count }) => [name, count])
  }

  * #of (group: string): Generator<Rows> {
    for (const groups of this.#live.values()) {
      const rows = groups.get(group)
      if (rows !== undefined) yield rows
    }
    const ended = this.#ended.get(group)
    if (ended !== undefined) yield ended
  }

  #note (group: string, name: string): void {
    if (name === '') return
    let names = this.#names.get(group)
    if (names === undefined) this.#names.set(group, names = new Set())
    if (names.size < NAMES) names.add(name)
  }

  #keep (group: string, rows: Rows): void {
    let kept = this.#ended.get(group)
    if (kept === undefined) this.#ended.set(group, kept = new Map<string, Row>())
    for (const [name, row] of rows) {
      if (kept.has(name) || kept.size <= NAMES) kept.set(name, merged(group, kept.get(name), row))
    }
  }

  #keepMost (group: string, rows: Rows): void {
    const { counted, unseen } = mergeTables([tableOf(rows), tableOf(this.#ended.get(group), this.#unseen.get(group))])
    counted.sort((a, b) => b.count - a.count)
    this.#ended.set(group, new Map(counted.slice(0, MOST).map(({ name, count, error }) => [name, { count, error }])))
    this.#unseen.set(group, Math.max(unseen, counted[MOST]?.count ?? 0))
  }
}

/** @param unseen default: by the lowest count of a table that is full */
function tableOf (rows: Rows = new Map(), unseen?: number): Table {
  const counted: Counted[] = [...rows].map(([name, { count = 0, error = 0 }]) => ({ name, count, error }))
  return { counted, unseen: unseen ?? (counted.length < MOST ? 0 : Math.min(...counted.map(({ count }) => count))) }
}
