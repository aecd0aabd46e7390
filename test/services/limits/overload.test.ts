import t from 'tap'
import { Overload, PRIORITIES } from '../../../services/limits/overload.js'

function start (delay: number, concurrency = 100) {
  const clock = { now: 0 }
  const overload = new Overload({ delay, concurrency, now: () => clock.now })
  overload.look()
  const late = (milliseconds: number) => {
    clock.now += 250 + milliseconds
    overload.look()
  }
  return { overload, late, admitted: () => PRIORITIES.filter((priority) => overload.admits(priority)) }
}

t.test('one long pause turns nobody away, a loop that stays late does, by classes', (t) => {
  const { overload, late, admitted } = start(1000)
  late(20_000)
  t.strictSame(admitted(), PRIORITIES, 'once')
  late(20_000)
  t.strictSame(admitted(), PRIORITIES, 'twice')
  late(0)
  late(1200)
  late(1100)
  late(1300)
  t.strictSame(admitted(), ['health', 'invalidation', 'ordinary'])
  for (let i = 0; i < 3; i++) late(2500)
  t.strictSame(admitted(), ['health', 'invalidation'])
  for (let i = 0; i < 3; i++) late(4500)
  t.strictSame(admitted(), ['health'])
  late(0)
  t.strictSame(admitted(), PRIORITIES, 'as soon as it keeps up')
  t.strictSame(overload.shed, { health: 0, invalidation: 1, ordinary: 2, bulk: 3 })
  t.end()
})

t.test('there is an end to what is under way at once', (t) => {
  const { overload, admitted } = start(0, 100)
  overload.underWay = 49
  t.strictSame(admitted(), PRIORITIES)
  overload.underWay = 50
  t.strictSame(admitted(), ['health', 'invalidation', 'ordinary'])
  overload.underWay = 90
  t.strictSame(admitted(), ['health', 'invalidation'])
  overload.underWay = 100
  t.strictSame(admitted(), ['health'])
  t.end()
})
