import UPlot from 'uplot'

export interface PlotOptions {
  labels: readonly string[]
  /** Which of them are drawn as dashed lines: bounds, not measurements. */
  dashed: readonly boolean[]
  height: number
  /** Says a value of the vertical axis. */
  format: (value: number) => string
  /** Says a place on the horizontal axis; undefined: seconds since 1970, as times of day. */
  place?: ((value: number) => string) | undefined
  /** Whether steps of the vertical axis are powers of two, as bytes have them. */
  isBinary: boolean
  /** Where the vertical axis ends; undefined: a little above what is there. */
  top?: number | undefined
  /** Plots that share a name show the same moment under the pointer. */
  together?: string | undefined
  /** Is told which place the pointer is at; undefined when it has gone. */
  onPoint: (index: number | undefined) => void
}

/** Of one series: null where nothing is known, which is a gap. */
export type Values = readonly (number | null)[]

const FONT = '12px system-ui, sans-serif'
/** Pixels that a character of that font takes, more or less. */
const CHARACTER = 7
/** Steps of an axis of time: labels tell seconds, and none stands there twice. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400]
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power)
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })

export const timeOf = (seconds: number): string => time.format(seconds * 1000)

/** Lines on a canvas, in the colours of the page: drawn anew when those change, and when its place does. */
export class Plot {
  readonly #place: HTMLElement
  readonly #options: PlotOptions
  readonly #observer: ResizeObserver
  readonly #dark = matchMedia('(prefers-color-scheme: dark)')
  #data: UPlot.AlignedData
  #plot: UPlot

  constructor (place: HTMLElement, options: PlotOptions) {
    this.#place = place
    this.#options = options
    this.#data = [[], ...options.labels.map(() => [])]
    this.#plot = this.#draw()
    this.#observer = new ResizeObserver(() => { this.#plot.setSize({ width: place.clientWidth, height: options.height }) })
    this.#observer.observe(place)
    addEventListener('themechange', this.#redraw)
    this.#dark.addEventListener('change', this.#redraw)
  }

  show (places: readonly number[], series: readonly Values[]): void {
    this.#data = [[...places], ...series.map((values) => [...values])]
    this.#plot.setData(this.#data)
  }

  close (): void {
    this.#observer.disconnect()
    removeEventListener('themechange', this.#redraw)
    this.#dark.removeEventListener('change', this.#redraw)
    this.#plot.destroy()
  }

  readonly #redraw = (): void => {
    this.#plot.destroy()
    this.#plot = this.#draw()
  }

  #draw (): UPlot {
    const { labels, dashed, height, format, place = timeOf, isBinary, top, together, onPoint } = this.#options
    const colour = this.#colours()
    const axis = { stroke: colour('--quiet'), font: FONT, grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } }
    const widest = (texts: readonly string[] | null): number => 10 + CHARACTER * Math.max(3, ...(texts ?? []).map(({ length }) => length))
    const isTime = this.#options.place === undefined
    return new UPlot({
      width: this.#place.clientWidth,
      height,
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, ...together !== undefined && { sync: { key: together, setSeries: false } } },
      hooks: { setCursor: [({ cursor: { idx } }) => { onPoint(idx ?? undefined) }] },
      scales: {
        x: { time: isTime },
        y: { range: (_plot, _least, most) => [0, top ?? (most > 0 ? most * 1.1 : 1)] }
      },
      axes: [
        { ...axis, space: 90, size: 28, ...isTime && { incrs: SECONDS }, values: (_plot, ticks) => ticks.map((tick) => place(tick)) },
        { ...axis, space: 36, ...isBinary && { incrs: POWERS }, size: (_plot, texts) => widest(texts), values: (_plot, ticks) => ticks.map((tick) => format(tick)) }
      ],
      series: [{}, ...labels.map((label, index) => ({
        label,
        stroke: colour(`--series-${index + 1}`),
        width: 2,
        spanGaps: false,
        ...dashed[index] === true && { dash: [6, 4] },
        points: { show: !isTime, size: 7, fill: colour(`--series-${index + 1}`) }
      }))]
    }, this.#data, this.#place)
  }

  /** A canvas knows nothing of tokens, nor of `light-dark()`: an element that has the colour tells what it is. */
  #colours (): (token: string) => string {
    const probe = document.createElement('span')
    return (token) => {
      probe.style.color = `var(${token})`
      this.#place.append(probe)
      const { color } = getComputedStyle(probe)
      probe.remove()
      return color
    }
  }
}
