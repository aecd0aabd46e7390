import t from 'tap'
import { History } from '../../dashboard/pages/live/history.js'
import type { LiveSample } from '../../schemas/live.js'

const START = Date.parse('2026-01-31T12:00:00.000Z')
const sample = (at: number, seconds = 1) => ({ time: new Date(START + at * 1000).toISOString(), seconds }) as LiveSample

/** Seconds since the start; in brackets those of which nothing is known. */
const told = ({ moments }: History): string => moments.map(({ time, sample }) => {
  const at = Number((time - START / 1000).toFixed(2))
  return sample === undefined ? `(${at})` : String(at)
}).join(' ')

void t.test('each sample is kept once, in its order', async (t) => {
  const history = new History()
  for (const at of [1, 2, 2, 1, 3]) history.add(sample(at))
  t.equal(told(history), '1 2 3')
  t.equal(history.last?.time, '2026-01-31T12:00:03.000Z')
})

void t.test('where nobody told of a time there is a gap, and none where one sample tells of a long time', async (t) => {
  const history = new History()
  history.add(sample(10, 10))
  history.add(sample(20, 10))
  history.add(sample(21.2))
  history.add(sample(22.4))
  history.add(sample(60))
  t.equal(told(history), '10 20 21.2 22.4 (23.15) 60')
})

void t.test('what is older than five minutes is let go', async (t) => {
  const history = new History()
  for (let at = 1; at <= 400; at++) history.add(sample(at))
  t.equal(history.moments.length, 300)
  t.equal(told(history).split(' ')[0], '101')
})
