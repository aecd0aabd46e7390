import t from 'tap'
import { ConnectionQueue } from '../../../services/database/connection-queue.js'

t.test('connections are given in the order in which they were asked for, and no more at once than there are', async (t) => {
  const queue = new ConnectionQueue({ connections: 2, waiting: 10, patience: 10_000 })
  const order: number[] = []
  let atOnce = 0
  await Promise.all([1, 2, 3, 4, 5].map(async (caller) => {
    const leave = await queue.enter(10_000)
    order.push(caller)
    t.ok(++atOnce <= 2)
    await new Promise((resolve) => { setImmediate(resolve) })
    atOnce--
    leave()
    leave() // is no matter
  }))
  t.strictSame(order, [1, 2, 3, 4, 5])
  t.equal(queue.used, 0)
})

t.test('a wait', async (t) => {
  const queue = new ConnectionQueue({ connections: 1, waiting: 2, patience: 40 })
  const leave = await queue.enter(1000)

  t.test('ends with its patience, or with the caller’s time', async (t) => {
    await t.rejects(queue.enter(10_000), /in time/)
    await t.rejects(queue.enter(1), /in time/)
    t.equal(queue.waiting, 0)
  })

  t.test('is refused at once when enough wait already', async (t) => {
    const waiting = [queue.enter(10_000), queue.enter(10_000)]
    await t.rejects(queue.enter(10_000), /Too many/)
    await Promise.allSettled(waiting)
  })

  t.test('ends when the caller is gone, and the connection goes to the next', async (t) => {
    const gone = new AbortController()
    const first = queue.enter(10_000, gone.signal)
    const second = queue.enter(10_000)
    gone.abort(new Error('gone'))
    await t.rejects(first, /gone/)
    leave()
    const next = await second
    t.equal(queue.used, 1)
    next()
    t.equal(queue.used, 0)
  })
})

t.test('a server that takes fewer connections is asked for no more than it took, and for one more now and then', async (t) => {
  let time = 0
  const queue = new ConnectionQueue({ connections: 4, waiting: 10, patience: 10_000, now: () => time })
  const [first, ...refused] = await Promise.all([1, 2, 3, 4].map(async () => await queue.enter(1000)))
  for (const leave of refused) {
    t.ok(queue.narrow())
    leave()
  }
  t.equal(queue.limit, 1)
  t.notOk(queue.narrow(), 'one is the least')
  const order: string[] = []
  const waiting = [queue.enter(1000).then((leave) => { order.push('second'); return leave }), queue.enter(1000, undefined, true).then((leave) => { order.push('first'); return leave })]
  first?.()
  const [, headLeave] = [await waiting[1], await waiting[1]]
  time += 2000
  headLeave?.()
  const last = await waiting[0]
  t.strictSame(order, ['first', 'second'], 'who was at the head before is again')
  t.equal(queue.limit, 2)
  last?.()
})
