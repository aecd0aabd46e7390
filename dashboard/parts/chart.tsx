import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'

export interface Series {
  label: string
  /** One for each time; null: nothing is known of that one. */
  values: readonly (number | null)[]
}

export interface ChartProps {
  title: string
  series: readonly Series[]
  /** Seconds since 1970, ascending. */
  times: readonly number[]
  /** Says a value with its unit. */
  format: (value: number) => string
  /** Pixels; default 180. */
  height?: number
}

/** Values over time. What is drawn stands in the caption in words: the last value of each series. */
export function Chart ({ title, series, times, format, height = 180 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | undefined>(undefined)
  const labels = series.map(({ label }) => label).join('\n')

  useEffect(() => {
    const { current } = place
    if (current === null) return undefined
    const draw = (): void => {
      plot.current?.destroy()
      const colours = getComputedStyle(current)
      const colour = (name: string): string => colours.getPropertyValue(name).trim()
      const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } }
      plot.current = new UPlot({
        width: current.clientWidth,
        height,
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        series: [{}, ...labels.split('\n').map((label, index) => ({ label, stroke: colour(`--series-${index + 1}`), width: 2, spanGaps: false }))],
        axes: [axis, { ...axis, size: 64, values: (_plot: UPlot, ticks: number[]) => ticks.map(format) }],
        scales: { y: { range: (_plot: UPlot, _least: number, most: number) => [0, most > 0 ? most * 1.1 : 1] } }
      }, [[], ...labels.split('\n').map(() => [])], current)
    }
    draw()
    const observer = new ResizeObserver(() => { plot.current?.setSize({ width: current.clientWidth, height }) })
    observer.observe(current)
    addEventListener('themechange', draw)
    return () => {
      observer.disconnect()
      removeEventListener('themechange', draw)
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [labels, height])

  useEffect(() => {
    plot.current?.setData([[...times], ...series.map(({ values }) => [...values])])
  })

  const last = (values: Series['values']): string => {
    const value = values.at(-1)
    return value === undefined || value === null ? 'nothing yet' : format(value)
  }
  return (
    <figure class='chart'>
      <figcaption>
        <strong>{title}</strong>
        <ul>{series.map(({ label, values }, index) => <li key={label} class={`series-${index + 1}`}>{label}: {last(values)}</li>)}</ul>
      </figcaption>
      <div ref={place} aria-hidden='true' />
    </figure>
  )
}
