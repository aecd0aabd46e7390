// What /api/cache/analytics costs: each access, the memory of the sketches, and a sample of a million entries.
import { reportOf } from './engine.mjs'
import { median, printTable } from './statistics.mjs'

/** Each with what it is held against. */
const TIMES = {
  'cache.get, a hit, without analytics': ['plain'],
  'with hot keys': ['hotKeys', 'plain'],
  'with hot keys and other sizes, as the service has it': ['both', 'plain'],
  'timed (two readings of the clock)': ['timed', 'plain'],
  'timed, with latency histograms': ['latencies', 'timed'],
  'hot keys alone': ['hotKeysAlone'],
  'other sizes alone': ['whatIfAlone'],
  'a latency histogram alone': ['histogramAlone']
}
const TURNS = 5

export async function benchAnalytics () {
  const times = Object.fromEntries(Object.values(TIMES).map(([name]) => [name, []]))
  for (let turn = 0; turn < TURNS; turn++) {
    for (const name of Object.keys(times)) times[name].push(await reportOf('analytics-cost.mjs', name))
  }
  const cost = (name) => median(times[name])
  printTable(`Analytics, processor time for each access · 10 000 keys, Zipf 0.99 · ${TURNS} processes each`, ['', 'ns', 'more'],
    Object.entries(TIMES).map(([label, [name, other]]) => [label, cost(name).toFixed(0), other === undefined ? '' : (cost(name) - cost(other)).toFixed(0)]))
  const bytes = await reportOf('analytics-cost.mjs', 'sizes')
  printTable('Analytics, memory after 500 000 distinct keys', ['', 'KB'], Object.entries(bytes).map(([label, size]) => [label, (size / 1000).toFixed(0)]))
  const { took, longest, composed } = await reportOf('analytics-cost.mjs', 'sampling')
  printTable('Analytics, a sample of 1 000 000 entries in memory', ['', 'ms'],
    [['drawing it', took.toFixed(0)], ['the longest that the event loop waited', longest.toFixed(1)], ['working it out', composed.toFixed(1)]])
}
