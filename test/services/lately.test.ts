import t from 'tap'
import { Lately } from '../../services/lately.js'

t.test('who looks gets a new answer when it comes in time, and else what was known', async (t) => {
  let asked = 0
  let answer: (value: number) => void = () => {}
  const lately = new Lately(async () => {
    asked++
    return await new Promise<number>((resolve) => { answer = resolve })
  }, { patience: 20, lifetime: 0 })
  t.equal(await lately.look(), undefined, 'nothing is known yet')
  t.equal(await lately.look(), undefined)
  t.equal(asked, 1, 'it is asked for once at a time')
  answer(1)
  t.equal(await lately.look(), 1)
  const looking = lately.look()
  answer(2)
  t.equal(await looking, 2)
})

t.test('an answer stands for its lifetime, and is forgotten when it cannot be had any more', async (t) => {
  let asked = 0
  const standing = new Lately(async () => ++asked, { lifetime: 60_000 })
  t.equal(await standing.look(), 1)
  t.equal(await standing.look(), 1)
  const failing = new Lately(async () => {
    if (++asked > 2) throw new Error('away')
    return asked
  }, { lifetime: 0 })
  t.equal(await failing.look(), 2)
  t.equal(await failing.look(), undefined)
})
