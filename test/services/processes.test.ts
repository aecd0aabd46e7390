import t from 'tap'
import { Census } from '../../services/processes/census.js'
import { Totals } from '../../services/processes/totals.js'

const counter = (value: number, labels = '') => `# HELP hits Hits\n# TYPE hits counter\nhits${labels} ${value}\n`
const snapshot = (text: string, maxima: string[] = []) => ({ text, maxima })

t.test('totals', async (t) => {
  const text = (hits: number, entries: number, state: number) => counter(hits, '{of="a b"}') +
    '# HELP took Time\n# TYPE took histogram\n' + `took_bucket{le="1"} ${hits}\ntook_bucket{le="+Inf"} ${hits + 1}\ntook_sum 0.5\ntook_count ${hits + 1}\n` +
    `# HELP entries Entries\n# TYPE entries gauge\nentries ${entries}\n# HELP state State\n# TYPE state gauge\nstate ${state}\n` +
    `# HELP process_bytes Bytes\n# TYPE process_bytes gauge\nprocess_bytes ${entries}\nprocess_bytes{kind="x"} 1\n`

  const totals = new Totals()
  const both = totals.render(new Map([[1, snapshot(text(1, 10, 2), ['state'])], [2, snapshot(text(2, 20, 0), ['state'])]]))
  t.equal(both, counter(3, '{of="a b"}') +
    '# HELP took Time\n# TYPE took histogram\ntook_bucket{le="1"} 3\ntook_bucket{le="+Inf"} 5\ntook_sum 1\ntook_count 5\n' +
    '# HELP entries Entries\n# TYPE entries gauge\nentries 30\n# HELP state State\n# TYPE state gauge\nstate 2\n' +
    '# HELP process_bytes Bytes\n# TYPE process_bytes gauge\nprocess_bytes{worker="1"} 10\nprocess_bytes{worker="1",kind="x"} 1\nprocess_bytes{worker="2"} 20\nprocess_bytes{worker="2",kind="x"} 1\n',
  'counters, histograms and gauges are summed; of some gauges the highest counts, and what is of a process stands by itself')

  totals.retire(snapshot(text(5, 50, 1), ['state']))
  totals.retire(snapshot(text(1, 50, 1), ['state']))
  const after = totals.render(new Map([[2, snapshot(text(2, 20, 0), ['state'])]]))
  t.match(after, /^hits\{of="a b"\} 8$/m, 'what those had counted that have ended stays')
  t.match(after, /^took_count 11$/m)
  t.match(after, /^entries 20$/m, 'what they had does not')
  t.match(after, /^state 0$/m)
  t.notMatch(after, 'worker="1"')
})

t.test('a census', async (t) => {
  const rounds: number[] = []
  let answers: (round: number) => void = () => {}
  const census = new Census({ ask: (round) => { rounds.push(round); answers(round); return [1, 2] }, own: () => [{ name: 'own', help: 'Own', type: 'gauge', value: 1 }], patience: 50 })
  answers = (round) => { census.counted(1, round, snapshot(counter(1))); census.counted(2, round, snapshot(counter(2))) }
  t.equal(await census.take(), `${counter(3)}# HELP own Own\n# TYPE own gauge\nown 1\n`)

  answers = (round) => { census.counted(1, round, snapshot(counter(10))) }
  t.match(await census.take(), /^hits 12$/m, 'of one that does not answer, what it said last counts')
  answers = (round) => { census.counted(2, round - 1, snapshot(counter(4))); census.ended(1) }
  t.match(await census.take(), /^hits 14$/m, 'an answer that is late counts all the same, and one that has ended is not waited for for ever')
  t.match(await census.take(), /^hits 14$/m)

  rounds.length = 0
  answers = () => {}
  const [first, second, third] = [census.take(), census.take(), census.take()]
  answers = (round) => { census.counted(2, round, snapshot(counter(20))) }
  await Promise.all([first, second, third])
  const begun = rounds.length
  t.ok(begun <= 2, 'who comes while others ask shares what comes next')
})
