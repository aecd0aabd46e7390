import t from 'tap'
import { type Invalidation, Ledger } from '../../../services/cache/ledger.js'

t.test('a ledger knows what is recorded at the stamp or later, and nothing else', async (t) => {
  const ledger = new Ledger()
  const knows = (what: Invalidation, stamp: number): boolean => ledger.namespace('n').knows(what, stamp)
  const kinds: Invalidation[] = [{ tags: ['a'] }, { tags: ['a'], soft: true }, { pattern: 'a' }, { pattern: 'a', soft: true }, { all: true }, { all: true, soft: true }]
  for (const [at, what] of kinds.entries()) {
    const stamp = 10 * (at + 1)
    t.notOk(knows(what, 0), `not yet ${JSON.stringify(what)}`)
    ledger.record('n', what, stamp)
    t.ok(knows(what, stamp - 1))
    t.ok(knows(what, stamp))
    t.notOk(knows(what, stamp + 1))
    t.notOk(ledger.namespace('other').knows(what, 0))
  }
  t.notOk(knows({ tags: ['a', 'b'] }, 10), 'all of the tags count')
  ledger.record('n', { tags: ['b'] }, 100)
  t.ok(knows({ tags: ['a', 'b'] }, 10))
  t.notOk(knows({ tags: ['a'], pattern: 'b' }, 10), 'and the pattern')
})

t.test('of the bans of one pattern the newest holds, whatever the order they come in', async (t) => {
  for (const stamps of [[5, 9], [9, 5]]) {
    const ledger = new Ledger()
    for (const stamp of stamps) ledger.record('n', { pattern: 'k*' }, stamp)
    t.equal(ledger.namespace('n').verdict('key', [], 8, 0)?.stamp, 9)
    t.equal(ledger.namespace('n').verdict('key', [], 9, 0), undefined)
  }
})

t.test('a soft invalidation outdates what no invalidation before it concerned, under the same name or another', async (t) => {
  const ledger = new Ledger()
  const of = (what: Invalidation, stamp: number): string => {
    const outdates = ledger.namespace('n').outdatedBy(what, stamp)
    ledger.record('n', { ...what, soft: true }, stamp)
    const entries: [key: string, tags: string[], stamp: number][] = [['k1', ['a'], 1], ['k2', ['a'], 11], ['k3', ['b'], 1], ['k4', ['a', 'b'], 21], ['x', [], 1]]
    return entries.filter((entry) => outdates(...entry)).map(([key]) => key).join(' ')
  }
  t.equal(of({ tags: ['a'] }, 10), 'k1')
  t.equal(of({ tags: ['a'] }, 20), 'k2', 'k1 was stale by then')
  ledger.record('n', { tags: ['b'] }, 22)
  t.equal(of({ pattern: 'k*' }, 30), '', 'k3 and k4 were gone')
  t.equal(of({ pattern: 'k*', tags: ['c'] }, 35), '')
  t.equal(of({ all: true }, 40), 'x')
  t.equal(of({ all: true }, 50), '')
  const before = ledger.namespace('n').outdatedBy({ tags: ['z'] }, 60)
  ledger.record('n', { pattern: 'late*' }, 70)
  t.ok(before('late', ['z'], 55), 'one after it takes nothing from it')
})

t.test('what is in force elsewhere is not retired', async (t) => {
  const ledger = new Ledger()
  ledger.record('n', { tags: ['kept'] }, 1)
  ledger.record('n', { tags: ['over'] }, 2)
  ledger.retire(ledger.revision, Infinity, () => false, ({ stamp }) => stamp === 1)
  t.ok(ledger.namespace('n').knows({ tags: ['kept'] }, 1))
  t.notOk(ledger.namespace('n').knows({ tags: ['over'] }, 2))
})
