import t from 'tap'
import { parseRates, rateOf, RateTextError } from '../../../services/limits/rates.js'

t.test('rates are read in the words of documents and of Flask-Limiter', (t) => {
  const windows = (text: string) => parseRates(text).map(({ quota, window }) => [quota, window])
  t.strictSame(windows('10/hour'), [[10, 3_600_000]])
  t.strictSame(windows('6000/minute'), [[6000, 60_000]])
  t.strictSame(windows('100/second, 6000/hour'), [[100, 1000], [6000, 3_600_000]])
  t.strictSame(windows('10 per hour;5 per 2 minutes ; 1000 / day'), [[10, 3_600_000], [5, 120_000], [1000, 86_400_000]])
  t.strictSame(windows('1/S,2/min,3/1 HR,4/7days'), [[1, 1000], [2, 60_000], [3, 3_600_000], [4, 604_800_000]])
  t.strictSame(parseRates('10 per hour, 3/2 days').map(({ name }) => name), ['per-hour', 'per-2-days'])
  t.end()
})

t.test('what is no rate is refused', (t) => {
  for (const text of ['', 'ten/hour', '10', '10/', '10per hour', '0/hour', '10/0 hours', '10/hour/day', '10/hour,,', '10/hour;11 per hour', '1e3/hour', '1000001/second', '1/400 days']) {
    t.throws(() => parseRates(text), RateTextError, text)
  }
  t.throws(() => rateOf(1.5, 1000), RateTextError)
  t.end()
})
