import type { LiveBackend, LiveSample } from '../../../schemas/live.js'
import { bytes, duration, number, percent } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { BreakerBadge } from '../../parts/breaker-badge.js'
import { Panel } from '../../parts/panel.js'
import { Table, type Column } from '../../parts/table.js'

type Part = NonNullable<LiveSample['parts']>[string] & { name: string }

const STATUSES: Record<Part['status'], readonly [Tone, string]> = { up: ['good', 'up'], down: ['bad', 'down'], disabled: ['quiet', 'not configured'] }

function State ({ of: [tone, words] }: { of: readonly [Tone, string] }) {
  return <Badge tone={tone}>{words}</Badge>
}

/** How each part of the service is, and whether it is left alone just now. */
export function Parts ({ sample: { parts, breakers, process } }: { sample: LiveSample }) {
  const rows: Part[] = Object.entries(parts ?? {}).map(([name, part]) => ({ name, ...part }))
  // The cache on a database has a breaker of its own, and is no part of the health.
  rows.push(...Object.keys(breakers).filter((name) => parts !== null && parts[name] === undefined && name !== 'app')
    .map((name) => ({ name, status: breakers[name] === 'open' ? 'down' as const : 'up' as const, required: false })))
  const columns: Column<Part>[] = [
    { key: 'name', title: 'Part', render: ({ name, required }) => <>{name}{required && <span class='quiet'> (required)</span>}</> },
    { key: 'status', title: 'Health', render: ({ status }) => <State of={STATUSES[status]} /> },
    { key: 'latency', title: 'Answers in', align: 'end', render: ({ latency }) => latency === undefined ? '–' : duration(latency) },
    { key: 'breaker', title: 'Breaker', render: ({ name }) => breakers[name] === undefined ? 'none' : <BreakerBadge state={breakers[name]} /> }
  ]
  return (
    <Panel title='Parts and their breakers' busy={parts === null}>
      {parts === null ? <p class='quiet'>They are being asked.</p> : <Table caption='How each part of the service is' columns={columns} rows={rows} rowKey={({ name }) => name} />}
      {process.processes > 1 && <p class='quiet'>As the process that answers sees them; of the breakers of {process.processes} processes the worst.</p>}
    </Panel>
  )
}

const COLUMNS: Column<LiveBackend>[] = [
  { key: 'name', title: 'Backend', render: ({ name }) => name === 'app' ? <>app <span class='quiet'>(the service’s own cache)</span></> : name },
  { key: 'hit_rate', title: 'Hit ratio', align: 'end', render: ({ hit_rate: rate }) => rate === null ? 'no reads' : percent(rate) },
  { key: 'reads', title: 'Reads', align: 'end', render: ({ hits_per_second: hits, misses_per_second: misses }) => `${number(hits + misses)}/s` },
  { key: 'evictions', title: 'Evictions', align: 'end', render: ({ evictions_per_second: rate }) => `${number(rate)}/s` },
  { key: 'latency', title: 'Operations (p95)', align: 'end', render: ({ latency }) => latency === null ? '–' : duration(latency.p95) },
  { key: 'entries', title: 'Entries', align: 'end', render: ({ entries, max_items: most }) => of(entries, most, number) },
  { key: 'bytes', title: 'Memory', align: 'end', render: ({ bytes: used, max_memory: most }) => of(used, most, bytes) },
  { key: 'breaker', title: 'Breaker', render: ({ breaker }) => breaker === null ? 'none' : <BreakerBadge state={breaker} /> }
]

function of (value: number | null, most: number | null, say: (value: number) => string): string {
  return value === null ? 'unknown' : most === null ? say(value) : `${say(value)} of ${say(most)}`
}

/** What each cache does just now, and what is in it. */
export function Backends ({ sample: { backends } }: { sample: LiveSample }) {
  return <Panel title='Backends'><Table caption='What each cache does just now' columns={COLUMNS} rows={backends} rowKey={({ name }) => name} /></Panel>
}
