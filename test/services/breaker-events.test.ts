import t from 'tap'
import { Breaker } from '../../services/cache/breaker.js'
import { Breakers } from '../../services/breakers.js'
import type { Database } from '../../services/database.js'
import { BreakerEvents } from '../../services/events/breaker-events.js'
import type { NewEvent } from '../../services/events/event.js'
import { eventually } from '../support/caches.js'

const down = async (): Promise<never> => { throw new Error('down') }
const breaker = () => new Breaker({ isOutage: () => true, breakAfter: 1, leaveAlone: 0 })

/** A database that may be away, and what was recorded in it. */
function setUp () {
  const state = { isAway: false, asked: 0, faults: 0, recorded: [] as NewEvent[] }
  const breakers = new Breakers({ log: { info () {}, warn () {} } })
  const [postgres, redis] = [breaker(), breaker()]
  breakers.add('postgres', postgres)
  breakers.add('redis', redis)
  const transaction = async (work: (transaction: object) => Promise<unknown>): Promise<unknown> => {
    state.asked++
    await Promise.resolve()
    if (state.isAway) throw new Error('away')
    return await work({})
  }
  const events = new BreakerEvents({
    breakers,
    database: { transaction } as Pick<Database, 'transaction'>,
    outbox: { record: async (_transaction, event) => { state.recorded.push(event); return event as never } },
    instance: { host: 'here', pid: 7 },
    onFault: () => { state.faults++ },
    pause: 1
  })
  const types = () => state.recorded.map(({ type, subject }) => `${type} ${subject}`)
  return { state, breakers, postgres, redis, events, types }
}

t.test('that a breaker opens and closes is recorded, and nothing of what it sees in between', async (t) => {
  const { state, redis, events, types } = setUp()
  events.start()
  const before = Date.now()
  await t.rejects(redis.run(down))
  await eventually(() => state.recorded.length === 1, 'it is open')
  await t.rejects(redis.run(down), 'half-open, and open again')
  for (let at = 0; at < 3; at++) await redis.run(async () => true)
  await eventually(() => state.recorded.length === 2, 'it is closed')
  redis.hold()
  await eventually(() => state.recorded.length === 3, 'it is held')
  await events.stop()
  redis.close()
  t.strictSame(types(), ['breaker.opened breakers/redis', 'breaker.closed breakers/redis', 'breaker.opened breakers/redis'])
  const [opened, closed, held] = state.recorded.map(({ data }) => data as Record<string, unknown>)
  t.match(opened, { name: 'redis', state: 'open', held: false, outages: 1, missed: 0, host: 'here', pid: 7 })
  t.ok(Date.parse(opened?.['since'] as string) >= before)
  t.match(closed, { state: 'closed', held: false, outages: 0, opened_at: opened?.['since'] })
  t.match(held, { state: 'open', held: true })
})

t.test('while the database is away the last change of each breaker waits, and says how many it has overtaken', async (t) => {
  const { state, postgres, redis, events, types } = setUp()
  events.start()
  state.isAway = true
  await t.rejects(redis.run(down))
  await eventually(() => state.faults === 1, 'it could not be recorded')
  redis.close()
  redis.hold()
  redis.close()
  await t.rejects(postgres.run(down))
  const asked = state.asked
  await eventually(() => state.asked > asked, 'it is tried again')
  t.strictSame(types(), [])
  state.isAway = false
  await eventually(() => state.recorded.length === 2, 'both are recorded')
  t.strictSame(types().sort(), ['breaker.closed breakers/redis', 'breaker.opened breakers/postgres'])
  t.match(state.recorded.map(({ data }) => (data as { missed: number }).missed).sort(), [0, 3])
  t.equal(state.faults, 1, 'the outage is told once')
  await events.stop()
})

t.test('a database that is held open is not asked to record that', async (t) => {
  const { state, postgres, redis, events, types } = setUp()
  postgres.hold()
  redis.hold()
  events.start()
  redis.close()
  postgres.close()
  await eventually(() => state.recorded.length > 0, 'what waited is recorded once it is closed')
  postgres.hold()
  redis.hold()
  await events.stop()
  t.strictSame(types().slice(0, 2).sort(), ['breaker.closed breakers/postgres', 'breaker.closed breakers/redis'])
  t.equal(state.asked, 2)
  t.equal(state.faults, 0)
})
