// `npm run bench:traces`: hit ratios of every eviction policy on generated traces, beside the best that can be done by one who
// knows the future. Options: --only=loop,news (traces), --length=200000 (accesses), --sizes=100,500,2000 (entries).
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { printTable } from './statistics.mjs'
import { belady } from './traces/belady.mjs'
import { trace, TRACES } from './traces/generate.mjs'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: TRACES.join(',') },
    length: { type: 'string', default: '200000' },
    sizes: { type: 'string', default: '100,500,2000' }
  }
})
const chosen = values.only.split(',')
const unknown = chosen.filter((name) => !TRACES.includes(name))
if (unknown.length > 0) throw new Error(`--only takes ${TRACES.join(', ')}, not ${unknown.join(', ')}.`)
const length = Number(values.length)
const sizes = values.sizes.split(',').map(Number)

execFileSync(process.execPath, [join(import.meta.dirname, '..', 'scripts', 'build.mjs')], { stdio: 'inherit' })
const { replay, STRATEGIES } = await import('./traces/replay.mjs')

const percent = (hits) => (100 * hits / length).toFixed(1)
const rows = []
for (const name of chosen) {
  const keys = trace(name, length)
  for (const size of sizes) {
    const hits = STRATEGIES.map((strategy) => replay(keys, size, strategy))
    rows.push([name, String(size), percent(belady(keys, size)), ...hits.map(percent)])
  }
}
printTable(`Hits of 100 accesses · ${length.toLocaleString('en')} accesses a trace`, ['trace', 'entries', 'optimum', ...STRATEGIES], rows)
