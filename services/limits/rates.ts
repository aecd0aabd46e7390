/** So many requests in so much time. */
export interface Rate {
  /** Requests. */
  readonly quota: number
  /** Milliseconds. */
  readonly window: number
  /** `per-minute`, `per-7-days`: what the rate is called in headers, problems and metrics. */
  readonly name: string
}

/** A text that says no rates. The message follows the name of whatever held the text. */
export class RateTextError extends Error {
  override readonly name = 'RateTextError'
}

/** Rates that one list may have. */
export const MAX_RATES = 4
/** Requests a second beyond which a limit limits nothing. */
const FASTEST = 1_000_000

const SECOND = 1000
const DAY = 86_400 * SECOND
const UNITS: readonly (readonly [names: string, length: number, name: string])[] = [
  ['s|sec|secs|second|seconds', SECOND, 'second'],
  ['m|min|mins|minute|minutes', 60 * SECOND, 'minute'],
  ['h|hr|hrs|hour|hours', 3600 * SECOND, 'hour'],
  ['d|day|days', DAY, 'day'],
  ['month|months', 30 * DAY, 'month'],
  ['year|years', 365 * DAY, 'year']
]
const LONGEST = 366 * DAY
const RATE = new RegExp(`^(\\d{1,12})\\s*(?:/|\\sper\\s)\\s*(\\d{1,6})?\\s*(${UNITS.map(([names]) => names).join('|')})$`, 'i')

/**
 * Rates as they are written: `10/hour`, `100/second, 6000/hour`, and in the words of Flask-Limiter `10 per hour; 5 per 2 minutes`. All of
 * a list hold at once. A month is 30 days.
 * @throws RateTextError
 */
export function parseRates (text: string): Rate[] {
  const rates = text.split(/[,;]/).map((part) => parseRate(part.trim()))
  if (rates.length > MAX_RATES) throw new RateTextError(`holds ${rates.length} limits: give at most ${MAX_RATES}`)
  const twice = rates.find(({ window }, at) => rates.findIndex((other) => other.window === window) !== at)
  if (twice !== undefined) throw new RateTextError(`limits the same time twice (${twice.name}): keep one of the two`)
  return rates
}

function parseRate (text: string): Rate {
  const [, count, times = '1', word = ''] = RATE.exec(text) ?? []
  const unit = UNITS.find(([names]) => names.split('|').includes(word.toLowerCase()))
  if (count === undefined || unit === undefined) {
    throw new RateTextError(`must be like 10/hour or 100/second, 6000/hour, not ${JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)}`)
  }
  return rateOf(Number(count), Number(times) * unit[1], Number(times) === 1 ? `per-${unit[2]}` : `per-${times}-${unit[2]}s`)
}

/** Rates as they are written; `parseRates` reads the same from it. */
export function textOf (rates: readonly Rate[]): string {
  return rates.map(({ quota, name }) => `${quota}/${name.slice('per-'.length).replace('-', ' ')}`).join(', ')
}

/**
 * @param window milliseconds
 * @throws RateTextError for one that cannot be kept
 */
export function rateOf (quota: number, window: number, name = `per-${window / SECOND}-seconds`): Rate {
  if (!Number.isSafeInteger(quota) || quota < 1) throw new RateTextError('must permit at least one request')
  if (!(window >= 1 && window <= LONGEST)) throw new RateTextError('must be for a time from a millisecond to a year')
  if (quota / window > FASTEST / SECOND) throw new RateTextError(`must permit at most ${FASTEST} requests a second`)
  return { quota, window, name }
}
