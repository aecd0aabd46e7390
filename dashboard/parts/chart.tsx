import { useEffect, useRef, useState } from 'preact/hooks'
import { Plot, timeOf, type Values } from './plot.js'

export interface Series {
  label: string
  /** One for each time; null: nothing is known of that one. */
  values: Values
  /** Drawn as a dashed line: a bound, not a measurement. */
  isBound?: boolean
}

export interface ChartProps {
  title: string
  series: readonly Series[]
  /** Seconds since 1970, ascending; what `place` says where that is given. */
  times: readonly number[]
  /** Says a value with its unit. */
  format: (value: number) => string
  /** Says what the horizontal axis is of, where it is no time. */
  place?: (value: number) => string
  /** What the horizontal axis is of; default `Time`. */
  axis?: string
  /** Whether the values are bytes: the steps of the axis are powers of two then. */
  inBytes?: boolean
  /** Said where there is no value; default `nothing`. */
  nothing?: string
  /** Where the vertical axis ends; default a little above what is there. */
  top?: number
  /** Charts that share a name show the same moment under the pointer. */
  together?: string
  /** Pixels; default 180. */
  height?: number
  /** Whether the title is seen; default true. Where a heading says it already, it is heard alone. */
  titled?: boolean
}

/** Rows of the table, the newest ones: more than that nobody reads. */
const ROWS = 60

/**
 * Values over time, or over something else. What is drawn stands in the caption in words, the last value of each series, or those under
 * the pointer; and in a table for whoever opens it.
 */
export function Chart ({ title, series, times, format, place, axis = 'Time', inBytes = false, nothing = 'nothing', top, together, height = 180, titled = true }: ChartProps) {
  const element = useRef<HTMLDivElement>(null)
  const plot = useRef<Plot | undefined>(undefined)
  const [pointed, setPointed] = useState<number>()
  const [isOpen, setOpen] = useState(false)
  const shape = JSON.stringify(series.map(({ label, isBound = false }) => [label, isBound]))
  const says = useRef({ format, place })
  says.current = { format, place }
  const isTime = place === undefined

  useEffect(() => {
    const lines = JSON.parse(shape) as [string, boolean][]
    plot.current = new Plot(element.current!, {
      labels: lines.map(([label]) => label),
      dashed: lines.map(([, isBound]) => isBound),
      height,
      top,
      together,
      isBinary: inBytes,
      format: (value) => says.current.format(value),
      place: isTime ? undefined : (value) => says.current.place?.(value) ?? '',
      onPoint: setPointed
    })
    return () => { plot.current?.close() }
  }, [shape, height, top, together, isTime, inBytes])

  useEffect(() => { plot.current?.show(times, series.map(({ values }) => values)) }, [times, series])

  const at = pointed === undefined || pointed >= times.length ? undefined : pointed
  const say = (value: number | null | undefined): string => value === undefined || value === null ? nothing : format(value)
  const shownAt = at === undefined ? undefined : (place ?? timeOf)(times[at]!)
  return (
    <figure class='chart'>
      <figcaption>
        <strong class={titled ? undefined : 'unseen'}>{title}</strong>
        <ul>
          {series.map(({ label, values, isBound = false }, index) => (
            <li key={label} class={`series-${index + 1}${isBound ? ' bound' : ''}`}>{label}: {say(values.at(at ?? -1))}</li>
          ))}
        </ul>
        {shownAt !== undefined && <span class='quiet'>at {shownAt}</span>}
      </figcaption>
      <div class='plot' ref={element} aria-hidden='true' />
      <details onToggle={(event) => { setOpen(event.currentTarget.open) }}>
        <summary>Table<span class='unseen'> of {title}</span></summary>
        {isOpen && (
          <div class='scroller' tabIndex={0} role='region' aria-label={`Table of ${title}`}>
            <table>
              <thead><tr><th scope='col'>{axis}</th>{series.map(({ label }) => <th key={label} scope='col' class='end'>{label}</th>)}</tr></thead>
              <tbody>
                {rowsOf(times, isTime).map((row) => (
                  <tr key={times[row]}>
                    <th scope='row'>{(place ?? timeOf)(times[row]!)}</th>
                    {series.map(({ label, values }) => <td key={label} class='end'>{say(values[row])}</td>)}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </details>
    </figure>
  )
}

/** The newest time first; anything else in its order. */
function rowsOf (times: readonly number[], isTime: boolean): number[] {
  const rows = times.map((_time, row) => row)
  return isTime ? rows.reverse().slice(0, ROWS) : rows
}
