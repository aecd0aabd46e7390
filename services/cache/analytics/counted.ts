/** A name with its count: the true one lies between `count - error` and `count`. */
export interface Counted { name: string, count: number, error: number }

/** The most frequent names of a stream. */
export interface Table {
  counted: readonly Counted[]
  /** What a name that is not in the table may have been counted with at most. */
  unseen: number
}

/**
 * The tables of several streams as that of all of them together, with as many names as they have: a name that is not in one of them may have been
 * counted there as often as that one's `unseen`.
 * (Agarwal, Cormode, Huang, Phillips, Wei and Yi, "Mergeable Summaries", PODS 2012.)
 */
export function mergeTables (tables: readonly Table[]): { counted: Counted[], unseen: number } {
  const unseen = tables.reduce((sum, table) => sum + table.unseen, 0)
  const all = new Map<string, Counted>()
  for (const table of tables) {
    for (const { name, count, error } of table.counted) {
      // As though it were in none of the others: what it is there takes the place of that.
      const { count: most, error: range } = all.get(name) ?? { count: unseen, error: unseen }
      all.set(name, { name, count: most - table.unseen + count, error: range - table.unseen + error })
    }
  }
  return { counted: [...all.values()], unseen }
}
