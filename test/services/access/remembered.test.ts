import t from 'tap'
import type { Principal } from '../../../services/access/principal.js'
import { Remembered } from '../../../services/access/remembered.js'
import { ScopeSet } from '../../../services/access/scopes.js'

const bearer = (id: string, expiresAt?: number): Principal =>
  ({ kind: 'api_key', id, scopes: ScopeSet.of(['cache:read']), ...(expiresAt !== undefined && { expiresAt }) })
const authenticator = (epoch = 1) => ({ epoch, recognises: () => true, authenticate: () => bearer('anew') })

t.test('a credential is remembered until it expires', async (t) => {
  let now = 0
  const remembered = new Remembered({ now: () => now })
  const who = authenticator()
  remembered.put('for ever', bearer('a'), who, 1)
  remembered.put('for a while', bearer('b', 100), who, 1)
  now = 99
  t.equal(remembered.get('for a while')?.principal.id, 'b')
  now = 100
  t.equal(remembered.get('for a while'), undefined)
  t.equal(remembered.get('for ever')?.principal.id, 'a')
  t.equal(remembered.size, 1)
})

t.test('and until the epoch of who checked it is over', async (t) => {
  const remembered = new Remembered()
  const [one, other] = [authenticator(), authenticator()]
  remembered.put('one', bearer('a'), one, 1)
  remembered.put('other', bearer('b'), other, 1)
  one.epoch = 2
  t.equal(remembered.get('one'), undefined)
  t.equal(remembered.get('other')?.principal.id, 'b')
  remembered.put('late', bearer('c'), one, 1)
  t.equal(remembered.get('late'), undefined, 'an answer from before a change is none')
  other.epoch = -1
  t.equal(remembered.get('other'), undefined, 'nor does any hold while nobody can say')
})

t.test('the table keeps to its bounds, and to what is used', async (t) => {
  const who = authenticator()
  const remembered = new Remembered({ maxCount: 3, maxLength: 100 })
  for (const name of ['a', 'b', 'c']) remembered.put(name, bearer(name), who, 1)
  remembered.get('a')
  remembered.put('d', bearer('d'), who, 1)
  t.strictSame(['a', 'b', 'c', 'd'].map((name) => remembered.get(name)?.principal.id), ['a', undefined, 'c', 'd'])
  remembered.put('e', bearer('e'), who, 1)
  t.equal(remembered.size, 3, 'one has to go though all of them are used')

  remembered.put('l'.repeat(99), bearer('long'), who, 1)
  t.equal(remembered.size, 1 + 1)
  remembered.put('x'.repeat(101), bearer('too long'), who, 1)
  t.equal(remembered.get('x'.repeat(101)), undefined)
  for (let i = 0; i < 1000; i++) remembered.put(`many ${i}`, bearer('many'), who, 1)
  t.equal(remembered.size, 3)
})
