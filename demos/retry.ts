import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { ServerProcess } from '../tools/servers/server-process.js'
import { demonstrateAlone } from './support/demonstrate.js'
import { ask, curl, tally, type Address, type Answer, type RequestOptions } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

const READERS = 8
const WRITERS = 4
/** How often every connection to PostgreSQL is cut, and by what. */
const CUTS = 5
const CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'larder'"
/** Answers after which the same is sent again: it is down, or the request before is still being carried out. */
const AGAIN = [503, 409]

const demo: Demo = {
  name: 'retry',
  title: 'requests succeed while what they need is cut off, restarted and hung',

  async run (stage) {
    const [postgres, redis] = await Promise.all([stage.postgres(), stage.redis()])
    // What hangs is to be noticed as it would be in earnest.
    const larder = await stage.larder('Larder', {
      DATABASE_URL: postgres.url, REDIS_URL: redis.url, RATE_LIMITS: '1000000/minute', SAMPLE_DATA: 'true', CACHE_DEADLINE: '200'
    })

    stage.heading('PostgreSQL is restarted while the list of products is read')
    await ask(larder, 'GET /products')
    stage.command(`${curl(larder, 'GET /products')}    # again and again, by ${READERS} readers`)
    const read = await meanwhile(READERS, async () => (await ask(larder, 'GET /products')).status, async () => {
      stage.command(`kill -INT ${postgres.pid} && postgres …    # PostgreSQL`)
      await postgres.restart()
      await delay(500)
    })
    stage.claim('every read is answered: the cache has what the database cannot say', read.every((status) => status === 200), tally(read))

    stage.heading(`All connections to PostgreSQL are cut while items are written, ${CUTS} times, a second apart`)
    stage.command(`${curl(larder, 'POST /items', { body: { n: 1 } })}    # again and again, by ${WRITERS} writers`)
    stage.command(`psql -c "${CUT}"`)
    const before = await retries(larder)
    const written = await meanwhile(WRITERS, async () => (await ask(larder, 'POST /items', { body: { n: 0 } })).status, async () => { await cutConnections(postgres, 1000) })
    const helped = await retries(larder) - before
    stage.claim('every write is made: Larder tries the whole transaction again', written.every((status) => status === 201), tally(written))
    stage.claim('its metrics count the attempts that were needed', helped > 0, `larder_retries_total: ${helped} succeeded`)
    const made = (await storedNumbers(postgres)).length
    stage.claim('and none is made twice: a commit whose answer was lost is asked for', made === written.length, `${written.length} writes, ${made} items`)

    stage.heading('The same faster than can be made up for: every 100 ms')
    stage.say('Was it written, or not, when the answer is 503? Who sends an Idempotency-Key need not wonder: the same request is sent again until it is answered.')
    const write = (n: number): RequestOptions => ({ body: { n }, headers: { 'idempotency-key': `"write-${n}"` } })
    stage.command(`${curl(larder, 'POST /items', write(1))}    # and so on`)
    let last = 0
    const answers: Answer[] = []
    const outcomes = await meanwhile(WRITERS, async () => {
      const request = write(++last)
      for (;;) {
        const answer = await ask(larder, 'POST /items', request)
        answers.push(answer)
        if (!AGAIN.includes(answer.status)) return answer.status
        await delay(50)
      }
    }, async () => { await cutConnections(postgres, 100, 2 * CUTS) })
    stage.claim('whatever is not done says when to come again: Retry-After',
      answers.every(({ status, headers }) => status === 201 || headers.has('retry-after')), `${answers.length} requests: ${tally(answers.map(({ status }) => status))}`)
    stage.claim('every write is made in the end', outcomes.every((status) => status === 201), tally(outcomes))
    const stored = (await storedNumbers(postgres)).filter((n) => n > 0)
    stage.claim('and stands in PostgreSQL once', stored.length === last && new Set(stored).size === last, `${last} writes, ${stored.length} items`)
    const replayed = await stage.show(larder, 'POST /items', write(1), ['idempotency-replayed'])
    stage.claim('the first one sent once more is not done again: its first answer is given', replayed.status === 201 && replayed.headers.get('idempotency-replayed') === 'true')
    const reused = await stage.show(larder, 'POST /items', { ...write(1), body: { n: -1 } })
    stage.claim('another request under the same key: 422', reused.status === 422)

    stage.heading('Redis hangs: its socket is open, and it says nothing')
    stage.command(`kill -STOP ${redis.pid}    # Redis`)
    redis.pause()
    let slowest = 0
    const during = await meanwhile(READERS, async () => {
      const began = performance.now()
      const { status } = await ask(larder, 'GET /products')
      slowest = Math.max(slowest, performance.now() - began)
      return status
    }, async () => { await delay(2000) })
    stage.claim('every read is answered', during.every((status) => status === 200), `${tally(during)}, the slowest in ${Math.round(slowest)} ms`)
    const refused = await stage.show(larder, 'POST /api/cache/set', { body: { key: 'k', value: 1, backend: 'redis' } }, ['retry-after'])
    stage.claim('what cannot be done without Redis says so, and when to come again', refused.status === 503 && refused.headers.has('retry-after'))
    stage.claim('the circuit breaker is open: nobody waits for Redis in vain', await isOpen(larder))
    stage.command(`kill -CONT ${redis.pid}    # Redis`)
    redis.resume()
    const back = await within(15, async () => (await ask(larder, 'POST /api/cache/set', { body: { key: 'k', value: 1, backend: 'redis' } })).status === 200 && !await isOpen(larder))
    stage.claim('it closes by itself', back !== undefined, back === undefined ? 'not within 15 s' : `after ${back.toFixed(1)} s`)
  }
}

/** Does something over and over, by so many at once, while something else is done. Answers what came of each. */
async function meanwhile<T> (count: number, again: () => Promise<T>, work: () => Promise<void>): Promise<T[]> {
  const results: T[] = []
  const state = { isOver: false }
  const workers = Array.from({ length: count }, async () => {
    while (!state.isOver) {
      results.push(await again())
      await delay(5)
    }
  })
  try {
    await Promise.race([work(), Promise.all(workers)])
  } finally {
    state.isOver = true
  }
  await Promise.all(workers)
  return results
}

async function cutConnections ({ url }: ServerProcess, apart: number, times = CUTS): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  for (let cut = 0; cut < times; cut++) {
    await client.query(CUT)
    await delay(apart)
  }
  await client.end()
}

async function storedNumbers ({ url }: ServerProcess): Promise<number[]> {
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query<{ n: number }>("SELECT (body::json ->> 'n')::int AS n FROM items")
  await client.end()
  return rows.map(({ n }) => n)
}

/** Attempts after the first that were good. */
async function retries (larder: Address): Promise<number> {
  const { text } = await ask(larder, 'GET /metrics')
  return Number(/^larder_retries_total\{dependency="postgres",outcome="succeeded"\} (\d+)$/m.exec(text)?.[1])
}

/** As Larder's own metrics have it: 0 closed, 1 half-open, 2 open. */
async function isOpen (larder: Address): Promise<boolean> {
  return /^larder_breaker_state\{name="(?!postgres)[^"]*"\} [12]$/m.test((await ask(larder, 'GET /metrics')).text)
}

export default demo
await demonstrateAlone(import.meta.url, demo)
