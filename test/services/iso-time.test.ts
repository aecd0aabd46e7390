import t from 'tap'
import { isoTime } from '../../services/iso-time.js'

t.test('it writes what Date writes', async (t) => {
  const moments = [0, 1, 999, 1000, 59_999, -1, -1000, -1001, 951_782_400_000, 1_769_860_800_007, 4_102_444_799_999, 253_402_300_800_000]
  for (let step = 0; step < 2000; step++) moments.push(1_769_860_800_000 + step * 97)
  for (const moment of [...moments, ...moments.reverse()]) {
    const expected = new Date(moment).toISOString()
    if (isoTime(moment) !== expected) t.equal(isoTime(moment), expected)
  }
  t.equal(isoTime(1_769_860_800_007), '2026-01-31T12:00:00.007Z')
})

t.test('a part of a millisecond is cut off', async (t) => {
  t.equal(isoTime(1_769_860_800_007.9), '2026-01-31T12:00:00.007Z')
  t.equal(isoTime(1_769_860_800_999.999), '2026-01-31T12:00:00.999Z')
})

t.test('a moment beyond what a date can be throws', async (t) => {
  t.throws(() => isoTime(Infinity), RangeError)
  t.throws(() => isoTime(9e15), RangeError)
  t.equal(isoTime(0), '1970-01-01T00:00:00.000Z', 'and leaves the others alone')
})
