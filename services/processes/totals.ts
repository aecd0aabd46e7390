import type { Snapshot } from '../metrics.js'

/** A metric: its head (HELP and TYPE) and its series, each by its name with labels, in the order in which they are told. */
interface Family { head: string, type: string, series: Map<string, number> }

/** What is of one process by nature, and means nothing as a sum. */
const OF_A_PROCESS = /^(?:process|nodejs)_/

/**
 * What several processes have counted, as one Prometheus text. Counters and histograms are summed, those of processes that have ended
 * included, so that no total ever falls; gauges are summed over those that live, or the highest or lowest is taken where the snapshot says so;
 * what Node tells of a process stands once for each, under the label `worker`.
 */
export class Totals {
  readonly #ended = new Map<string, Family>()

  /** Keeps what a process had counted that has ended. */
  retire ({ text }: Snapshot): void {
    for (const [name, family] of familiesIn(text)) {
      if (family.type !== 'gauge' && !OF_A_PROCESS.test(name)) merge(this.#ended, name, family, add)
    }
  }

  /** @param snapshots the last ones of those that live, by the number of the process */
  render (snapshots: ReadonlyMap<number, Snapshot>): string {
    const all = new Map<string, Family>()
    for (const [worker, { text, maxima, minima }] of snapshots) {
      for (const [name, family] of familiesIn(text)) {
        if (OF_A_PROCESS.test(name)) merge(all, name, labelled(family, worker), add)
        else merge(all, name, family, maxima.includes(name) ? Math.max : minima.includes(name) ? Math.min : add)
      }
    }
    for (const [name, family] of this.#ended) merge(all, name, family, add)
    let rendered = ''
    for (const { head, series } of all.values()) {
      rendered += head
      for (const [name, value] of series) rendered += `${name} ${value}\n`
    }
    return rendered
  }
}

const add = (a: number, b: number): number => a + b

function merge (into: Map<string, Family>, name: string, { head, type, series }: Family, join: (a: number, b: number) => number): void {
  let family = into.get(name)
  if (family === undefined) into.set(name, family = { head, type, series: new Map() })
  for (const [key, value] of series) {
    const before = family.series.get(key)
    family.series.set(key, before === undefined ? value : join(before, value))
  }
}

function labelled (family: Family, worker: number): Family {
  const series = new Map<string, number>()
  for (const [name, value] of family.series) {
    const brace = name.indexOf('{')
    series.set(brace === -1 ? `${name}{worker="${worker}"}` : `${name.slice(0, brace)}{worker="${worker}",${name.slice(brace + 1)}`, value)
  }
  return { ...family, series }
}

/** Reads Prometheus text as `Metrics` writes it: each metric with HELP and TYPE before its series, which have no timestamps. */
function familiesIn (text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  let family: Family | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('# HELP ')) {
      family = { head: `${line}\n`, type: 'untyped', series: new Map() }
      families.set(line.slice(7, line.indexOf(' ', 7)), family)
    } else if (line.startsWith('# TYPE ') && family !== undefined) {
      family.head += `${line}\n`
      family.type = line.slice(line.lastIndexOf(' ') + 1)
    } else if (line !== '' && !line.startsWith('#') && family !== undefined) {
      const space = line.lastIndexOf(' ')
      const value = Number(line.slice(space + 1))
      // Nothing was measured yet: prom-client writes Nan.
      if (!Number.isNaN(value)) family.series.set(line.slice(0, space), value)
    }
  }
  return families
}
