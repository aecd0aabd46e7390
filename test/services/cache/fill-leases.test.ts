import t from 'tap'
import { FillLeases } from '../../../services/cache/fill-leases.js'
import { BackendUnavailableError } from '../../../services/cache/errors.js'
import { InFlight, type Operation } from '../../../services/cache/in-flight.js'
import { LocalLeases } from '../../../services/cache/leases.js'
import type { Store } from '../../../services/cache/stores/store.js'
import { Wakeups } from '../../../services/cache/wakeups.js'
import { Gate, localCache } from './setup.js'

const inFlight = new InFlight()
const operation = (stamp: number): Operation => ({ name: 'n:k', stamp, claim: undefined, isOrdered: true, supersededAt: 0 })

void t.test('a lease whose stamp is on its way is not taken from whoever asked first', async (t) => {
  const beginning = new Gate<Operation>()
  const leases = new LocalLeases({ now: () => performance.now(), wakeups: new Wakeups(), begin: () => beginning.promise, again: (of) => inFlight.again(of), end () {} })
  const asked = Array.from({ length: 5 }, async () => await leases.acquire('n', 'k', 5000))
  beginning.open(operation(17))
  const [first, ...others] = await Promise.all(asked)
  t.match(first, { isMine: true, stamp: 17 })
  // By the stamp they tell whether an invalidation came before it or after.
  for (const other of others) t.match(other, { isMine: false, token: first?.token, stamp: 17 })
  t.match(await leases.acquire('n', 'k', 5000), { isMine: false, stamp: 17 })
  await leases.release('n', 'k', first?.token ?? '', false)
})

void t.test('a lease that could not begin goes to the next who asks', async (t) => {
  const beginnings = [new Gate<Operation>(), new Gate<Operation>()]
  let begun = 0
  const leases = new LocalLeases({ now: () => performance.now(), wakeups: new Wakeups(), begin: () => beginnings[begun++]!.promise, again: (of) => inFlight.again(of), end () {} })
  const failing = leases.acquire('n', 'k', 5000)
  const next = leases.acquire('n', 'k', 5000)
  beginnings[0]?.fail(new TypeError('a fault'))
  await t.rejects(failing, TypeError)
  beginnings[1]?.open(operation(3))
  const grant = await next
  t.match(grant, { isMine: true, stamp: 3 })
  await leases.release('n', 'k', grant.token, false)
})

void t.test('a caller who is answered with a fault leaves no lease behind', async (t) => {
  const { store, clock } = localCache(t)
  let isAway = true
  const failing: Store = Object.create(store, {
    latest: {
      value: async () => {
        if (isAway) throw new BackendUnavailableError('away')
        return undefined
      }
    }
  }) as Store
  for (const name of ['leases', 'wakeups'] as const) Object.defineProperty(failing, name, { value: store[name] })
  const leases = new FillLeases({ store: failing, now: clock.now, onFault: (error) => { t.fail(String(error)) } })
  await t.rejects(leases.get('app', 'k', 60_000), BackendUnavailableError)
  isAway = false
  t.match(await leases.get('app', 'k', 60_000), { kind: 'lease' })
  t.equal(leases.waiting, 0)
})
