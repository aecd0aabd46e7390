import type { Cluster } from 'node:cluster'
import { EventEmitter } from 'node:events'
import t from 'tap'
import { Census } from '../../services/processes/census.js'
import { Leader } from '../../services/processes/leader.js'
import type { Order } from '../../services/processes/messages.js'
import { Rounds } from '../../services/processes/rounds.js'
import type { Change } from '../../services/processes/rows.js'
import { Tallies } from '../../services/processes/tallies.js'
import { Tally } from '../../services/processes/tally.js'
import { Totals } from '../../services/processes/totals.js'
import { eventually } from '../support/caches.js'

const counter = (value: number, labels = '') => `# HELP hits Hits\n# TYPE hits counter\nhits${labels} ${value}\n`
const snapshot = (text: string, maxima: string[] = [], minima: string[] = []) => ({ text, maxima, minima })

t.test('totals', async (t) => {
  const text = (hits: number, entries: number, state: number) => counter(hits, '{of="a b"}') +
    '# HELP took Time\n# TYPE took histogram\n' + `took_bucket{le="1"} ${hits}\ntook_bucket{le="+Inf"} ${hits + 1}\ntook_sum 0.5\ntook_count ${hits + 1}\n` +
    `# HELP entries Entries\n# TYPE entries gauge\nentries ${entries}\n# HELP state State\n# TYPE state gauge\nstate ${state}\n` +
    `# HELP up Up\n# TYPE up gauge\nup ${state}\n` +
    `# HELP process_bytes Bytes\n# TYPE process_bytes gauge\nprocess_bytes ${entries}\nprocess_bytes{kind="x"} 1\n`

  const totals = new Totals()
  const both = totals.render(new Map([[1, snapshot(text(1, 10, 2), ['state'], ['up'])], [2, snapshot(text(2, 20, 0), ['state'], ['up'])]]))
  t.equal(both, counter(3, '{of="a b"}') +
    '# HELP took Time\n# TYPE took histogram\ntook_bucket{le="1"} 3\ntook_bucket{le="+Inf"} 5\ntook_sum 1\ntook_count 5\n' +
    '# HELP entries Entries\n# TYPE entries gauge\nentries 30\n# HELP state State\n# TYPE state gauge\nstate 2\n# HELP up Up\n# TYPE up gauge\nup 0\n' +
    '# HELP process_bytes Bytes\n# TYPE process_bytes gauge\nprocess_bytes{worker="1"} 10\nprocess_bytes{worker="1",kind="x"} 1\nprocess_bytes{worker="2"} 20\nprocess_bytes{worker="2",kind="x"} 1\n',
  'counters, histograms and gauges are summed; of some gauges the highest or lowest counts, and what is of a process stands by itself')

  totals.retire(snapshot(text(5, 50, 1), ['state']))
  totals.retire(snapshot(text(1, 50, 1), ['state']))
  const after = totals.render(new Map([[2, snapshot(text(2, 20, 0), ['state'], ['up'])]]))
  t.match(after, /^hits\{of="a b"\} 8$/m, 'what those had counted that have ended stays')
  t.match(after, /^took_count 11$/m)
  t.match(after, /^entries 20$/m, 'what they had does not')
  t.match(after, /^state 0$/m)
  t.notMatch(after, 'worker="1"')
})

t.test('a census', async (t) => {
  const begun: number[] = []
  let answers: (round: number) => void = () => {}
  const rounds = new Rounds({ patience: 50 })
  const ask = async () => await rounds.ask((round) => { begun.push(round); answers(round); return [1, 2] })
  const census = new Census({ ask, own: () => [{ name: 'own', help: 'Own', type: 'gauge', value: 1 }] })
  const counted = (worker: number, round: number, value: number): void => {
    census.counted(worker, snapshot(counter(value)))
    rounds.answered(worker, round)
  }
  answers = (round) => { counted(1, round, 1); counted(2, round, 2) }
  t.equal(await census.take(), `${counter(3)}# HELP own Own\n# TYPE own gauge\nown 1\n`)

  answers = (round) => { counted(1, round, 10) }
  t.match(await census.take(), /^hits 12$/m, 'of one that does not answer, what it said last counts')
  answers = (round) => { counted(2, round - 1, 4); census.ended(1); rounds.ended(1) }
  t.match(await census.take(), /^hits 14$/m, 'an answer that is late counts all the same, and one that has ended is not waited for for ever')
  t.match(await census.take(), /^hits 14$/m)

  begun.length = 0
  answers = () => {}
  const [first, second, third] = [census.take(), census.take(), census.take()]
  answers = (round) => { counted(2, round, 20) }
  await Promise.all([first, second, third])
  t.ok(begun.length <= 2, 'who comes while others ask shares what comes next')
})

t.test('a census goes on after a round that failed', async (t) => {
  let isFailing = true
  const census = new Census({ ask: async () => { if (isFailing) throw new Error('nobody can be asked') }, own: () => [] })
  await t.rejects(census.take(), /nobody can be asked/)
  isFailing = false
  t.equal(await census.take(), '')
})

t.test('a tally tells what has changed', async (t) => {
  const rows = new Map([['', { hits: 0 }], ['a', { hits: 1 }]])
  const tally = new Tally()
  tally.add('sum:x', () => ({ names: () => rows.keys(), row: (name) => rows.get(name) ?? { hits: 7 } }))
  t.strictSame(await Promise.all([tally.changes([]), tally.changes([])]), [[['sum:x', 'a', { hits: 1 }]], []], 'once, and zeros never')
  rows.set('a', { hits: 2 })
  t.strictSame(await tally.changes([['sum:x', 'b'], ['sum:y', 'b']]), [['sum:x', 'a', { hits: 2 }], ['sum:x', 'b', { hits: 7 }]], 'what is asked for belongs to it, though nobody named it')
  rows.delete('a')
  t.strictSame(await tally.changes([]), [['sum:x', 'a', null]])
})

t.test('tallies', async (t) => {
  const tallies = new Tallies()
  tallies.changed(1, [['sum:x', '', { hits: 2 }], ['sum:x', 'a', { hits: 1, misses: 1 }], ['highest:y', 'z', { level: 2 }]])
  tallies.changed(2, [['sum:x', 'b', { hits: 4 }], ['sum:x', 'a', { hits: 5 }], ['highest:y', 'z', { level: 1 }]])
  t.strictSame([tallies.row('sum:x', 'a'), tallies.row('sum:x', 'c'), tallies.row('highest:y', 'z')], [{ hits: 6, misses: 1 }, {}, { level: 2 }])
  tallies.ended(1)
  tallies.ended(1)
  t.strictSame(tallies.row('sum:x', 'a'), { hits: 6, misses: 1 }, 'what was counted stays, once')
  t.strictSame(tallies.row('highest:y', 'z'), { level: 1 }, 'how things were does not')
  tallies.changed(3, [['sum:x', 'a', { hits: 10 }]])
  t.strictSame(tallies.rows('sum:x'), [['b', { hits: 4 }], ['a', { hits: 16, misses: 1 }], ['', { hits: 2 }]])
  t.strictSame([...tallies.names('sum:x')], ['a', 'b'])

  const requested = (counts: Record<string, number>) => Object.entries(counts).map(([name, count]): Change => ['most:r', name, { count, error: 0 }])
  tallies.changed(2, requested({ a: 3, b: 9 }))
  tallies.changed(3, requested({ a: 8, c: 1 }))
  t.strictSame(tallies.most('most:r', 2), [['a', 11], ['b', 9]])
  tallies.ended(3)
  tallies.changed(2, [['most:r', 'b', null]])
  t.strictSame(tallies.most('most:r', 9), [['a', 11], ['c', 1]])
  // A table that is full says nothing of what it has no room for, but that it is no more than its least.
  tallies.changed(4, requested(Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`k${at}`, at + 5]))))
  t.strictSame(tallies.most('most:r', 1), [['k999', 1004]])
  t.strictSame(tallies.most('most:r', 2000).find(([name]) => name === 'a'), ['a', 16])
  tallies.ended(4)
  t.equal(tallies.most('most:r', 2000).length, 1000)
  t.strictSame(tallies.most('most:r', 2000).find(([name]) => name === 'a'), ['a', 16])
})

t.test('what a process has counted last counts, also where that is read after its exit, and once', async (t) => {
  class FakeWorker extends EventEmitter {
    readonly id: number
    readonly process = { pid: 1, kill: () => true }
    readonly told: Order[] = []
    connected = true
    constructor (id: number) { super(); this.id = id }
    isConnected (): boolean { return this.connected }
    send (order: Order): void {
      this.told.push(order)
      if (order.larder === 'count') cluster.emit('message', this, { larder: 'counts', round: order.round, snapshot: snapshot(counter(this.id)) })
    }
  }
  const workers: FakeWorker[] = []
  const cluster = Object.assign(new EventEmitter(), {
    SCHED_NONE: 1,
    fork: () => {
      const worker = new FakeWorker(workers.length + 1)
      workers.push(worker)
      return worker
    }
  })
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const leader = new Leader({ cluster: cluster as unknown as Cluster, count: 2, log, hasMetrics: false, patience: 1000, backOff: { first: 60_000, longest: 60_000 } })
  t.teardown(() => { leader.end() })
  leader.start()
  cluster.emit('listening', workers[0])
  const [one, two] = workers as [FakeWorker, FakeWorker]
  const totals = async (): Promise<string | undefined> => {
    const request = two.told.length
    cluster.emit('message', two, { larder: 'totals', request })
    const answered = () => two.told.find((order) => order.larder === 'answer' && order.request === request) as { answer?: string } | undefined
    await eventually(() => answered() !== undefined, 'they are told')
    return answered()?.answer
  }
  t.match(await totals(), /^hits 1$/m)
  t.notOk(two.told.some(({ larder }) => larder === 'count'), 'who has yet to begin is not asked')
  cluster.emit('listening', two)
  t.match(await totals(), /^hits 3$/m)
  cluster.emit('exit', one, null, 'SIGKILL')
  cluster.emit('message', one, { larder: 'last', snapshot: snapshot(counter(10)), changes: [] })
  t.match(await totals(), /^hits 12$/m)
  one.connected = false
  cluster.emit('disconnect', one)
  t.match(await totals(), /^hits 12$/m)
  cluster.emit('message', one, { larder: 'last', snapshot: snapshot(counter(20)), changes: [] })
  t.match(await totals(), /^hits 12$/m, 'nothing is heard of it any more')
})
