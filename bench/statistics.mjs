export function median (numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Every subject once per round, each round beginning with another one, so that what the machine does meanwhile hits all alike. */
export async function inTurns (subjects, rounds, measure) {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < subjects.length; i++) await measure(subjects[(round + i) % subjects.length])
  }
}

/** Prints rows of cells as a table; the first column to the left, the others to the right. */
export function printTable (title, head, rows) {
  const cells = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column].length)))
  const line = (row) => row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])).join('  ')
  console.log(`\n${title}\n${cells.map(line).join('\n')}`)
}

/** Prints subjects of a load, with `label`, `rates` (requests a second) and `costs` (CPU µs a request) of each round, as ratios to one of them. */
export function printLoads (title, subjects, reference) {
  printTable(title, ['', 'requests/s', 'ratio', 'CPU µs', 'ratio'], subjects.map(({ label, rates, costs }) => [
    label,
    Math.round(median(rates)).toLocaleString('en'),
    (median(rates) / median(reference.rates)).toFixed(2),
    median(costs).toFixed(1),
    (median(reference.costs) / median(costs)).toFixed(2)
  ]))
}
