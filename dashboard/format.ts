/** Figures and times in words; the order of a date is the reader's own. */

const count = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const SPANS: readonly [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]

export function number (value: number): string {
  return Math.abs(value) >= 100_000 ? compact.format(value) : count.format(value)
}

export function bytes (value: number): string {
  let power = 0
  let left = Math.abs(value)
  for (; left >= 1024 && power < BYTES.length - 1; power += 1) left /= 1024
  return `${value < 0 ? '−' : ''}${count.format(power === 0 ? left : Number(left.toPrecision(3)))} ${BYTES[power]}`
}

/** @param value of 100 */
export function percent (value: number): string {
  return `${count.format(value)} %`
}

/** @param seconds 0.00042 is `420 µs` */
export function duration (seconds: number): string {
  if (seconds < 0.001) return `${count.format(seconds * 1e6)} µs`
  if (seconds < 1) return `${count.format(seconds * 1e3)} ms`
  if (seconds < 120) return `${count.format(seconds)} s`
  if (seconds < 7200) return `${count.format(seconds / 60)} min`
  if (seconds < 172_800) return `${count.format(seconds / 3600)} h`
  return `${count.format(seconds / 86_400)} d`
}

/** @param time as ISO 8601, or milliseconds since 1970 */
export function when (time: string | number): string {
  return moment.format(new Date(time))
}

export function timeOfDay (time: string | number): string {
  return clock.format(new Date(time))
}

/** `5 minutes ago`, `in 2 hours`. */
export function ago (time: string | number, now: number = Date.now()): string {
  const seconds = (new Date(time).getTime() - now) / 1000
  const [unit, length] = SPANS.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1]
  return relative.format(Math.round(seconds / length), unit)
}
