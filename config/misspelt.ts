import { names, schemas, type Given } from './values.js'

/** What was given under a name like those of the cache's settings, and is none. */
export function misspelt (env: Given): string[] {
  return Object.keys(env).filter((name) => name.startsWith('CACHE_') && !Object.hasOwn(schemas, name)).map((name) => {
    const [nearest] = names.map((known) => ({ known, away: distance(name, known) })).sort((a, b) => a.away - b.away)
    return nearest && nearest.away <= 4 ? `${name} is not a setting: did you mean ${nearest.known}?` : `${name} is not a setting.`
  })
}

/** Levenshtein's: the edits that turn one word into the other. */
function distance (a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
