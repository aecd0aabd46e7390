import t from 'tap'
import { ago, bytes, duration, number, percent } from '../../dashboard/format.js'
import { hashOf, parseRoute } from '../../dashboard/route.js'

void t.test('figures are said with the unit that suits them', async (t) => {
  t.strictSame([0, 1023, 1024, 1_234_567, -2048, 5 * 1024 ** 4].map(bytes), ['0 B', '1,023 B', '1 KiB', '1.2 MiB', '−2 KiB', '5 TiB'])
  t.strictSame([0.00042, 0.0125, 3, 150, 7200, 200_000].map(duration), ['420 µs', '12.5 ms', '3 s', '2.5 min', '2 h', '2.3 d'])
  t.strictSame([7, 99_999, 1_250_000].map(number), ['7', '99,999', '1.3M'])
  t.equal(percent(93.126), '93.1 %')
})

void t.test('times are said from now', async (t) => {
  const now = Date.parse('2026-01-01T12:00:00Z')
  t.equal(ago(now, now), 'now')
  t.equal(ago('2026-01-01T11:55:00Z', now), '5 minutes ago')
  t.equal(ago(now + 2 * 3_600_000, now), 'in 2 hours')
  t.equal(ago('2025-12-30T12:00:00Z', now), '2 days ago')
})

void t.test('where one is in the dashboard goes through the address and back', async (t) => {
  t.strictSame(parseRoute('#/explore?pattern=user%3A*&namespace=shop'), { page: 'explore', tab: '', query: { pattern: 'user:*', namespace: 'shop' } })
  t.strictSame(parseRoute('#/operate/valet'), { page: 'operate', tab: 'valet', query: {} })
  t.strictSame(parseRoute(''), { page: '', tab: '', query: {} })
  const query = { pattern: 'a&b=c?#/ü', empty: undefined, none: '' }
  t.strictSame(parseRoute(hashOf('explore', query)).query, { pattern: 'a&b=c?#/ü' })
})
