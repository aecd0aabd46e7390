import { duration } from '../../format.js'
import { Table, type Column } from '../../parts/table.js'
import type { Round } from './rounds.js'

type Numbered = Round & { number: number }

const COLUMNS: readonly Column<Numbered>[] = [
  { key: 'number', title: 'Round', align: 'end' },
  { key: 'database', title: 'Database', align: 'end', render: ({ database }) => duration(database) },
  { key: 'cache', title: 'Cache', align: 'end', render: ({ cache }) => duration(cache) }
]
/** Of a column and of what is between rounds, in units of the drawing. */
const WIDE = 4
const STEP = 11
/** So that a few rounds do not become slabs. */
const LEAST_ROUNDS = 10
const HIGH = 100

/** Two columns for each round on one scale from 0; the figures themselves in a table on demand. */
export function RoundsFigure ({ rounds }: { rounds: readonly Round[] }) {
  const most = Math.max(...rounds.flatMap(({ database, cache }) => [database, cache]), Number.MIN_VALUE)
  // What is measured at all is seen.
  const heightOf = (seconds: number): number => Math.max(seconds / most * HIGH, seconds > 0 ? 0.75 : 0)
  return (
    <figure class='rounds'>
      <figcaption>
        <strong>Database against cache, round by round</strong>
        <ul>
          <li class='series-1'>Database</li>
          <li class='series-2'>Cache</li>
        </ul>
      </figcaption>
      <div class='drawing' aria-hidden='true'>
        <span class='top'>{duration(most)}</span>
        <svg viewBox={`0 0 ${Math.max(rounds.length, LEAST_ROUNDS) * STEP} ${HIGH}`} preserveAspectRatio='none'>
          {rounds.map(({ database, cache }, index) => (
            <g key={index}>
              <rect class='series-1' x={index * STEP + 1} y={HIGH - heightOf(database)} width={WIDE} height={heightOf(database)} />
              <rect class='series-2' x={index * STEP + 1 + WIDE} y={HIGH - heightOf(cache)} width={WIDE} height={heightOf(cache)} />
            </g>
          ))}
        </svg>
        <span>0</span>
      </div>
      <details>
        <summary>The figures of each round</summary>
        <Table caption='The figures of each round' columns={COLUMNS} rows={rounds.map((round, index) => ({ ...round, number: index + 1 }))} rowKey={({ number }) => String(number)} />
      </details>
    </figure>
  )
}
