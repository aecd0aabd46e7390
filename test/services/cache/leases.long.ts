import t from 'tap'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from '../../support/caches.js'
import { databaseUrl, memcachedUrl, type Owner, redisUrl, startRedis } from '../../support/servers.js'

const script = fileURLToPath(new URL('../../fixtures/reading-process.js', import.meta.url))
const DEADLINE = 200
/** For a busy machine, in milliseconds; what must not be waited for takes longer. */
const SLACK = 4000

interface Question {
  ask: 'read' | 'many' | 'lease' | 'fill' | 'forget' | 'trusted'
  keys?: string[]
  callers?: number
  /** Milliseconds that a load takes. */
  takes?: number
  value?: unknown
  fails?: boolean
  options?: { ttl?: number, tags?: string[], lease?: number, grace?: number, token?: string }
}
interface Outcome { value?: unknown, status?: string, error?: string, took: number }
interface Answer { loads: number, outcomes: Outcome[] }
/** What a read with a lease came to. */
interface Leased { kind: string, token?: string, entry?: { value: string } }
interface Asked { answer: Promise<Answer>, began: Promise<void> }

class Reader {
  #child
  #next = 0
  constructor (child: ReturnType<typeof fork>) { this.#child = child }

  ask (question: Question): Asked {
    const id = this.#next++
    let begin = (): void => {}
    const began = new Promise<void>((resolve) => { begin = resolve })
    const answer = new Promise<Answer>((resolve, reject) => {
      const hear = (message: Answer & { id: number, began?: boolean }): void => {
        if (message.id !== id) return
        if (message.began === true) begin()
        else {
          this.#child.off('message', hear)
          resolve(message)
        }
      }
      this.#child.on('message', hear)
      this.#child.once('exit', () => { reject(new Error('The process ended')) })
    })
    answer.catch(() => {}) // where the process is killed
    this.#child.send({ id, ...question })
    return { answer, began }
  }

  async read (question: Omit<Question, 'ask'>): Promise<Answer> { return await this.ask({ ask: 'read', ...question }).answer }
  kill (): void { this.#child.kill('SIGKILL') }
}

/** Where a backend's servers are; leases are in Redis whichever it is. */
interface Servers { redis: string, database?: string, memcached?: string }

const DEADLINES = { calm: 2000, outage: DEADLINE }
const kinds: Record<string, (owner: Owner) => Promise<Servers>> = {
  redis: async (owner) => ({ redis: await redisUrl(owner) }),
  database: async (owner) => ({ redis: await redisUrl(owner), database: await databaseUrl(owner) }),
  memcached: async (owner) => ({ redis: await redisUrl(owner), memcached: await memcachedUrl(owner) })
}

async function reader (owner: Owner, servers: Servers, deadline: number): Promise<Reader> {
  const child = fork(script, [JSON.stringify({ ...servers, deadline })], { execArgv: [], env: { PATH: process.env['PATH'] } })
  child.setMaxListeners(100)
  owner.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  })
  await Promise.race([once(child, 'message'), once(child, 'exit').then(() => { throw new Error('The process ended at its start') })])
  return new Reader(child)
}

async function pair (owner: Owner, servers: Servers, deadline = DEADLINES.calm): Promise<[Reader, Reader]> {
  return await Promise.all([reader(owner, servers, deadline), reader(owner, servers, deadline)])
}

const valuesOf = ({ outcomes }: Answer): unknown[] => [...new Set(outcomes.map(({ value, error }) => error ?? value))]
const longest = ({ outcomes }: Answer): number => Math.max(...outcomes.map(({ took }) => took))

for (const [kind, start] of Object.entries(kinds)) {
  t.test(`two processes on one ${kind}`, async (t) => {
    const [a, b] = await pair(t, await start(t))

    t.test('200 callers in each: one load', async (t) => {
      for (let round = 0; round < 20; round++) {
        const question = { keys: [`stampede ${round}`], callers: 200, takes: 30, value: round }
        const answers = await Promise.all([a.read(question), b.read(question)])
        t.equal(answers[0].loads + answers[1].loads, 1)
        for (const answer of answers) t.strictSame(valuesOf(answer), [round])
        const statuses = answers.flatMap(({ outcomes }) => outcomes.map(({ status }) => status))
        t.equal(statuses.filter((status) => status === 'miss').length, 1, 'one of 400 says that it loaded')
        t.ok(Math.max(...answers.map(longest)) < 1500, 'those who wait are woken, not timed out')
      }
    })

    t.test('a load that takes longer than its lease is still the only one', async (t) => {
      const question = { keys: ['slow'], callers: 50, takes: 1500, value: 1, options: { lease: 300 } }
      const answers = await Promise.all([a.read(question), b.read(question)])
      t.equal(answers[0].loads + answers[1].loads, 1)
    })

    t.test('a load that fails is told of: the other process tries at once', async (t) => {
      const options = { lease: 20_000 }
      const failing = a.ask({ ask: 'read', keys: ['failing'], takes: 200, fails: true, options })
      await failing.began
      const answer = await b.read({ keys: ['failing'], callers: 10, value: 'well', options })
      t.strictSame([answer.loads, valuesOf(answer)], [1, ['well']])
      t.ok(longest(answer) < 5000)
      t.strictSame(valuesOf(await failing.answer), ['Error: origin away'])
    })

    t.test('a deletion during the load elsewhere: who waited gets the value, who comes later the new one, and nobody keeps the old', async (t) => {
      for (const by of [a, b]) {
        const old = a.ask({ ask: 'read', keys: ['deleted'], takes: 1000, value: 'old' })
        await old.began
        const before = b.ask({ ask: 'read', keys: ['deleted'], value: 'new' })
        await new Promise((resolve) => { setTimeout(resolve, 50) })
        await by.ask({ ask: 'forget', keys: ['deleted'] }).answer
        await eventually(async () => valuesOf(await b.ask({ ask: 'trusted' }).answer)[0] === true, 'B follows')
        const after = await b.read({ keys: ['deleted'], value: 'new' })
        t.strictSame(valuesOf(after), ['new'])
        t.ok(longest(after) < 900, 'a lease is void when its key is deleted')
        t.strictSame(valuesOf(await before.answer), ['new'])
        t.strictSame(valuesOf(await old.answer), ['old'])
        t.strictSame(valuesOf(await a.read({ keys: ['deleted'], value: 'newer' })), ['new'])
        await a.ask({ ask: 'forget', keys: ['deleted'] }).answer
        await eventually(async () => valuesOf(await b.ask({ ask: 'trusted' }).answer)[0] === true, 'B follows')
      }
    })

    t.test('many keys at once in both: each is loaded once', async (t) => {
      const keys = Array.from({ length: 50 }, (_, at) => `many ${at}`)
      const ask = { ask: 'many', keys, takes: 100, value: 'of many' } as const
      const before = b.ask({ ask: 'read', keys: ['many 7'], takes: 300, value: 'of one' })
      await before.began
      const answers = await Promise.all([a.ask(ask).answer, b.ask({ ...ask, keys: [...keys].reverse() }).answer])
      for (const { outcomes: [outcome] } of answers) {
        const values = (outcome?.value as { key: string, value: unknown }[]).map(({ key, value }) => [key, value])
        t.strictSame(Object.fromEntries(values), Object.fromEntries(keys.map((key) => [key, key === 'many 7' ? 'of one' : 'of many'])))
      }
      const statuses = answers.flatMap(({ outcomes: [outcome] }) => (outcome?.value as { status: string }[]).map(({ status }) => status))
      t.equal(statuses.filter((status) => status === 'miss').length, 49)
      t.equal(statuses.filter((status) => status === 'coalesced' || status === 'hit').length, 51)
    })

    t.test('a lease given by one is filled through the other, once', async (t) => {
      const lease = async (at: Reader, key: string, milliseconds = 10_000): Promise<Leased> =>
        (await at.ask({ ask: 'lease', keys: [key], takes: milliseconds }).answer).outcomes[0]?.value as Leased
      const fill = async (at: Reader, key: string, value: unknown, token = ''): Promise<unknown> =>
        valuesOf(await at.ask({ ask: 'fill', keys: [key], value, options: { token } }).answer)[0]
      const lost = /ERR_LEASE_LOST|is lost/
      const mine = await lease(a, 'leased')
      t.equal(mine.kind, 'lease')
      const waiting = lease(b, 'leased')
      t.equal(await fill(b, 'leased', 'from afar', mine.token), '"from afar"')
      t.match(await waiting, { kind: 'found', entry: { value: '"from afar"' } })
      t.match(await fill(a, 'leased', 'again', mine.token), lost)
      t.match(await fill(a, 'leased', 'made up', '17-0123456789abcdef'), lost)

      const voided = await lease(a, 'voided')
      await b.ask({ ask: 'forget', keys: ['voided'] }).answer
      const next = await lease(b, 'voided')
      t.equal(next.kind, 'lease', 'it is void when its key is deleted: the next caller gets one at once')
      t.match(await fill(a, 'voided', 'old', voided.token), lost)
      t.equal(await fill(a, 'voided', 'new', next.token), '"new"')
    })

    t.test('without a lease each process loads for itself', async (t) => {
      const question = { keys: ['own'], callers: 20, takes: 200, value: 1, options: { lease: 0 } }
      const answers = await Promise.all([a.read(question), b.read(question)])
      t.strictSame(answers.map(({ loads }) => loads), [1, 1])
    })
  })

  t.test(`${kind}: the holder killed while it loads: another takes over within the lease`, async (t) => {
    const [a, b] = await pair(t, await start(t))
    const options = { lease: 1000 }
    const dying = a.ask({ ask: 'read', keys: ['k'], takes: 60_000, options })
    await dying.began
    const waiting = b.ask({ ask: 'read', keys: ['k'], callers: 200, value: 'taken over', options })
    await new Promise((resolve) => { setTimeout(resolve, 100) })
    a.kill()
    const answer = await waiting.answer
    t.strictSame([answer.loads, valuesOf(answer)], [1, ['taken over']])
    t.ok(longest(answer) > 200, 'the lease was respected while it stood')
    t.ok(longest(answer) < 100 + 1000 + SLACK, `taken over after ${longest(answer).toFixed()} ms`)
  })
}

t.test('Redis paused: nobody waits beyond the deadline and the load', async (t) => {
  const server = await startRedis(t)
  const [a, b] = await pair(t, { redis: server.url }, DEADLINES.outage)
  const holding = a.ask({ ask: 'read', keys: ['held'], takes: 8000, value: 'held', options: { lease: 20_000 } })
  await holding.began
  const waiting = b.ask({ ask: 'read', keys: ['held'], callers: 50, takes: 100, value: 'own', options: { lease: 20_000 } })
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  server.pause()
  const fresh = await Promise.all([a, b].map(async (each) => await each.read({ keys: ['fresh'], callers: 200, takes: 100, value: 1 })))
  for (const answer of fresh) {
    t.strictSame([answer.loads, valuesOf(answer)], [1, [1]])
    t.ok(longest(answer) < DEADLINE + 100 + SLACK, `it took ${longest(answer).toFixed()} ms`)
  }
  const answer = await waiting.answer
  t.strictSame([answer.loads, valuesOf(answer)], [1, ['own']])
  t.ok(longest(answer) < 100 + 1000 + DEADLINE + 100 + SLACK, `who waited for another process gave up after ${longest(answer).toFixed()} ms`)
  server.resume()
  t.strictSame(valuesOf(await holding.answer), ['held'])
})

t.test('database: Redis away, leases are those of each process, and no call fails', async (t) => {
  const server = await startRedis(t)
  const [a, b] = await pair(t, { redis: server.url, database: await databaseUrl(t) }, DEADLINES.outage)
  const lease = a.ask({ ask: 'lease', keys: ['given'], takes: 30_000 })
  const given = (await lease.answer).outcomes[0]?.value as Leased
  const outages: [name: string, begin: () => unknown][] = [['paused', () => { server.pause() }], ['killed', async () => { server.resume(); await server.kill() }]]
  for (const [name, begin] of outages) {
    await begin()
    const answers = await Promise.all([a, b].map(async (each) => await each.read({ keys: [name], callers: 200, takes: 300, value: name })))
    for (const answer of answers) {
      t.strictSame([answer.loads, valuesOf(answer)], [1, [name]], `${name}: one load in each process`)
      t.ok(longest(answer) < 2 * DEADLINE + 300 + SLACK, `it took ${longest(answer).toFixed()} ms`)
    }
    t.strictSame((await b.read({ keys: [name], value: 'never' })).loads, 0, 'and what was loaded is kept')
    const own = (await a.ask({ ask: 'lease', keys: [`own ${name}`], takes: 5000 }).answer).outcomes[0]?.value as Leased
    const waiting = a.ask({ ask: 'lease', keys: [`own ${name}`], takes: 5000 })
    const filled = await a.ask({ ask: 'fill', keys: [`own ${name}`], value: 1, options: { token: own.token ?? '' } }).answer
    t.strictSame(valuesOf(filled), ['1'])
    t.match((await waiting.answer).outcomes[0]?.value, { kind: 'found', entry: { value: '1' } })
  }
  t.strictSame(valuesOf(await a.ask({ ask: 'fill', keys: ['given'], value: 2, options: { token: given.token ?? '' } }).answer), ['2'],
    'a lease from before is good in the process that gave it')
  await server.restart()
  await eventually(async () => {
    const key = `after ${Math.random()}`
    const both = await Promise.all([a, b].map(async (each) => await each.read({ keys: [key], takes: 100, value: 1 })))
    return both.reduce((sum, { loads }) => sum + loads, 0) === 1
  }, 'one load over both again')
})
