// Larder's engine and its peers; each runs in a process of its own (engine-speed.mjs,
// engine-shapes.mjs, engine-stampede.mjs, engine-stalls.mjs, engine-memory.mjs).
import { join } from 'node:path'
import { SERVER_CORE } from './machine.mjs'
import { start } from './processes.mjs'
import { median, printTable } from './statistics.mjs'

export async function benchEngine () {
  const { keys, rounds, speeds } = await reportOf('engine-speed.mjs')
  const [reference] = Object.values(speeds).map(median)
  printTable(`In process, hits · ${keys} keys, Zipf 0.99 · ${rounds} rounds`,
    ['', 'million/s', 'ns', 'ratio'],
    Object.entries(speeds).map(([label, rates]) => [
      label, (median(rates) / 1e6).toFixed(2), (1e9 / median(rates)).toFixed(0), (median(rates) / reference).toFixed(2)
    ]))

  const shapes = await reportOf('engine-shapes.mjs')
  printTable(`In process, getOrSet hits by the kind of value · ${shapes.keys} keys of each kind in one cache · ${shapes.rounds} rounds · nanoseconds`,
    ['', 'a copy', 'shared', 'async-cache-dedupe', 'times as fast: a copy', 'shared'],
    shapes.results.map(({ label, copy, shared, dedupe }) => [
      label, copy.toFixed(0), shared.toFixed(0), dedupe.toFixed(0), (dedupe / copy).toFixed(1), (dedupe / shared).toFixed(1)
    ]))

  const { callers, times, loads } = await reportOf('engine-stampede.mjs')
  printTable(`In process, ${callers.toLocaleString('en')} callers miss one key at once`,
    ['', 'loads', 'CPU ms'],
    Object.entries(times).map(([label, each]) => [label, String(loads[label]), median(each).toFixed(1)]))

  const rows = []
  for (const subject of ['lru-cache', 'larder']) {
    for (const tags of [0, 2]) {
      const { label, entries, bytes } = await reportOf('engine-memory.mjs', subject, String(tags))
      rows.push([label, entries.toLocaleString('en'), bytes.toFixed(0)])
    }
  }
  const { entries, results } = await reportOf('engine-stalls.mjs')
  const milliseconds = (number) => number.toFixed(1)
  printTable(`In process, ${entries.toLocaleString('en')} entries at once · milliseconds`, ['', 'in force after', 'longest stall', 'less others', 'through after'],
    results.map(({ label, inForce, longest, longestAlone, through }) => [
      label, inForce === undefined ? '' : inForce.toFixed(3), milliseconds(longest), milliseconds(longestAlone), milliseconds(through)
    ]))
  printTable('In process, memory beside the keys and values themselves', ['', 'entries', 'bytes/entry'], rows)
}

/** What a script of this folder prints, run in a process of its own. */
export async function reportOf (script, ...args) {
  const child = start(SERVER_CORE, process.execPath, ['--expose-gc', join(import.meta.dirname, script), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  return JSON.parse(output)
}
