/** One series as it was told. */
export interface Series { name: string, labels: Record<string, string>, value: number }

/** A metric with all that was told of it. */
export interface Family { name: string, type: string, help: string, series: Series[] }

const SERIES = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy

/** Reads the text format, version 0.0.4. Throws at whatever is none. */
export function familiesOf (text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  const types = new Map<string, string>()
  let family: Family | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (families.has(name)) throw new Error(`${name} is told twice`)
      family = { name, type: '', help: rest, series: [] }
      families.set(name, family)
    } else if (kind === 'TYPE') {
      if (types.has(name) || family?.name !== name) throw new Error(`TYPE of ${name} stands elsewhere than behind its HELP`)
      types.set(name, rest)
      family.type = rest
    } else {
      const series = seriesOf(line)
      const stem = family?.type === 'histogram' ? series.name.replace(/_(?:bucket|sum|count)$/, '') : series.name
      if (family === undefined || stem !== family.name) throw new Error(`${series.name} stands elsewhere than behind its HELP and TYPE`)
      family.series.push(series)
    }
  }
  return families
}

function seriesOf (line: string): Series {
  const [, name, inside = '', value] = SERIES.exec(line) ?? []
  if (name === undefined || value === undefined) throw new Error(`no line of a series: ${line}`)
  const labels: Record<string, string> = {}
  let end = 0
  LABEL.lastIndex = 0
  for (let found = LABEL.exec(inside); found !== null; found = LABEL.exec(inside)) {
    labels[found[1]!] = found[2]!
    end = LABEL.lastIndex
  }
  if (end !== inside.length) throw new Error(`no labels: ${inside}`)
  const number = /^\+?Inf$/.test(value) ? Infinity : Number(value)
  if (Number.isNaN(number) && value !== 'Nan' && value !== 'NaN') throw new Error(`no number: ${line}`)
  return { name, labels, value: number }
}

/** What is measured there are operations, and the label tells which: no redundancy. */
const OF_WHAT_IS_MEASURED = 'larder_cache_operation_duration_seconds'

/** Units that are no base units, and what Prometheus counts in instead. */
const NO_BASE_UNIT = /(?:^|_)(?:milliseconds?|millis|ms|microseconds?|us|nanoseconds?|ns|minutes?|hours?|days?|kilobytes?|kb|kib|megabytes?|mb|mib|bits?|percent|celsius)(?:_|$)/
const UNIT = /(?:^|_)(seconds|bytes|ratio)(?=_|$)/g
const TYPE_WORD = /(?:^|_)(?:gauge|counter|histogram|summary)(?:_|$)/

/**
 * What does not keep to https://prometheus.io/docs/practices/naming/ and to the text format; nothing where all is well. What begins with
 * `nodejs_` has its names from prom-client.
 */
export function faultsIn (families: ReadonlyMap<string, Family>): string[] {
  return [...families.values()].flatMap((family) => [...faultsOfName(family), ...faultsOfLabels(family), ...family.type === 'histogram' ? faultsOfBuckets(family) : []].map((fault) => `${family.name}: ${fault}`))
}

function faultsOfName ({ name, type, help, series }: Family): string[] {
  const labels = new Set(series.flatMap((each) => Object.keys(each.labels)))
  const units = [...name.matchAll(UNIT)].map(([, unit]) => unit)
  const unitIsLast = units.length === 0 || new RegExp(`_${units[0]}(?:_total)?$`).test(name)
  return [
    !/^(?:larder|process|nodejs)(?:_[a-z0-9]+)+$/.test(name) && 'is not in snake_case behind the name of what it is of',
    help.trim().length < 10 && 'has no help',
    help.length > 200 && 'has a help of more than two lines',
    !['counter', 'gauge', 'histogram'].includes(type) && `is a ${type}`,
    type === 'counter' !== name.endsWith('_total') && 'is a counter without _total, or has it without being one',
    /_(?:bucket|sum|count)$/.test(name) && 'ends like a part of a histogram',
    NO_BASE_UNIT.test(name) && 'is not in base units',
    units.length > 1 && 'has more than one unit',
    !unitIsLast && 'has its unit elsewhere than at the end',
    TYPE_WORD.test(name) && 'has its type in its name',
    !name.startsWith('nodejs_') && name !== OF_WHAT_IS_MEASURED && [...labels].some((label) => new RegExp(`(?:^|_)${label}(?:_|$)`).test(name)) && 'has a label in its name'
  ].filter((fault) => fault !== false)
}

function faultsOfLabels ({ series }: Family): string[] {
  const names = series.map(({ name, labels }) => [name, ...Object.entries(labels).sort().flat()].join('\0'))
  return [
    series.some(({ labels }) => Object.keys(labels).some((label) => !/^[a-z][a-z0-9_]*$/.test(label) || label.startsWith('__'))) && 'has labels that are not in snake_case',
    series.some(({ labels }) => Object.values(labels).some((value) => value === '' || value.length > 100)) && 'has labels that are empty or long',
    new Set(names).size !== names.length && 'tells a series twice'
  ].filter((fault) => fault !== false)
}

function faultsOfBuckets ({ series }: Family): string[] {
  const faults: string[] = []
  const groups = new Map<string, Series[]>()
  for (const part of series) {
    const { le, ...rest } = part.labels
    const group = JSON.stringify(Object.entries(rest).sort())
    groups.set(group, [...groups.get(group) ?? [], part])
  }
  for (const parts of groups.values()) {
    const buckets = parts.filter(({ name }) => name.endsWith('_bucket'))
    const bounds = buckets.map(({ labels: { le } }) => le === '+Inf' ? Infinity : Number(le))
    const count = parts.find(({ name }) => name.endsWith('_count'))?.value
    if (bounds.at(-1) !== Infinity || bounds.length < 4 || bounds.length > 20) faults.push('has buckets that do not end with +Inf, or too few or too many of them')
    if (bounds.some((bound, at) => at > 0 && bound <= bounds[at - 1]!)) faults.push('has buckets that are not in order')
    if (buckets.some(({ value }, at) => at > 0 && value < buckets[at - 1]!.value)) faults.push('has buckets that do not add up')
    if (buckets.at(-1)?.value !== count || parts.filter(({ name }) => name.endsWith('_sum')).length !== 1) faults.push('has a count that is not that of its last bucket, or no sum')
  }
  return [...new Set(faults)]
}
