/** Numbers that were counted together, under their names. */
export type Row = Readonly<Record<string, number>>

/**
 * A row by its group and its own name. How the rows of several processes become one is said by how the group's name begins: `sum:`; `highest:`, of those
 * that live; `most:` for the tables of the most frequent names (`count` and `error`), which keep so many names and no more.
 */
export type RowName = readonly [group: string, name: string]

/** A row that has changed; null when it is gone. */
export type Change = readonly [group: string, name: string, row: Row | null]

/** Of a group with more names than that, the others are only in the row of all, whose name is empty. */
export const NAMES = 10_000

export function merged (group: string, a: Row | undefined, b: Row): Row {
  if (a === undefined) return b
  const join = group.startsWith('highest:') ? Math.max : (one: number, other: number): number => one + other
  const row: Record<string, number> = { ...a }
  for (const [name, value] of Object.entries(b)) row[name] = row[name] === undefined ? value : join(row[name], value)
  return row
}
