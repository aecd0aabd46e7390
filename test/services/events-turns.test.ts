import t from 'tap'
import { Turns } from '../../services/events/turns.js'

/** Work that goes on until it is told to end. */
function work (): { work: () => Promise<string>, end: () => void } {
  let end = (): void => {}
  const ended = new Promise<string>((resolve) => { end = () => { resolve('done') } })
  return { work: async () => await ended, end }
}

t.test('one at a time has its turn under a name, and a name that nobody uses is forgotten', async (t) => {
  const turns = new Turns()
  const [first, elsewhere] = [work(), work()]
  const order: number[] = []
  const one = turns.take('a', first.work)
  const more = [2, 3].map(async (n) => { await turns.take('a', async () => { order.push(n) }) })
  const other = turns.take('b', elsewhere.work)
  t.equal(turns.size, 2)
  elsewhere.end()
  t.equal(await other, 'done', 'another name does not wait')
  t.strictSame(order, [])
  first.end()
  await Promise.all([one, ...more])
  t.strictSame(order, [2, 3])
  t.equal(turns.size, 0)
  await t.rejects(turns.take('a', async () => { throw new Error('no') }), { message: 'no' })
  t.equal(await turns.take('a', async () => 'next'), 'next', 'what fails leaves its turn to the next')
  t.equal(turns.size, 0)
})

t.test('too many do not wait, nor anybody too long, nor who has gone', async (t) => {
  const turns = new Turns({ waiting: 1, patience: 20 })
  const first = work()
  const one = turns.take('a', first.work)
  const gone = new AbortController()
  const waiting = turns.take('a', async () => 'in vain', gone.signal)
  await t.rejects(turns.take('a', async () => 'in vain'), { code: 'ERR_UNAVAILABLE', message: 'Too many do the same at once: try again in a moment.' })
  gone.abort(new Error('gone'))
  await t.rejects(waiting, { message: 'gone' })
  await t.rejects(turns.take('a', async () => 'in vain', gone.signal), { message: 'gone' })
  await t.rejects(turns.take('a', async () => 'in vain'), { code: 'ERR_UNAVAILABLE' })
  first.end()
  await one
  t.equal(turns.size, 0)
})
