import { randomBytes } from 'node:crypto'
import SQL from '@nearform/sql'
import fc from 'fast-check'
import pg from 'pg'
import t from 'tap'
import { Sealer } from '../../../services/access/valet/sealer.js'
import { Database } from '../../../services/database.js'
import { migrate } from '../../../services/database/migrations.js'
import { Claim, MAX_ANSWER } from '../../../services/idempotency/claim.js'
import type { Answer } from '../../../services/idempotency/recording.js'
import { digestOf } from '../../../services/idempotency/request-key.js'
import { RequestLedger, type KeyedRequest } from '../../../services/idempotency/request-ledger.js'
import { eventually } from '../../support/caches.js'
import { databaseUrl } from '../../support/servers.js'

t.test('the ledger of requests', async (t) => {
  const pool = new pg.Pool({ connectionString: await databaseUrl(t), max: 5 })
  t.teardown(() => pool.end())
  const client = await pool.connect()
  await migrate(client, { sampleData: 'never' })
  client.release()
  const database = new Database(pool)
  const faults: unknown[] = []
  const open = (options: { secret?: string, lease?: number, ttl?: number } = {}): RequestLedger => new RequestLedger({
    database, sealer: new Sealer([options.secret ?? 'a'], 'test'), lease: options.lease ?? 15_000, ttl: options.ttl ?? 86_400, onFault: (error) => faults.push(error)
  })
  const ledger = open()
  await database.query('CREATE TABLE effects (id text)')

  const requestOf = (name = randomBytes(8).toString('hex'), more: Partial<KeyedRequest> = {}): KeyedRequest =>
    ({ id: digestOf(name), fingerprint: digestOf('body'), isRepeatable: true, isSealed: false, ...more })
  const answerOf = (text: string): Answer => ({ status: 201, headers: { location: '/x' }, body: Buffer.from(text) })
  const claimed = async (request: KeyedRequest, from = ledger): Promise<Claim> => {
    const claim = await from.claim(request)
    if (!(claim instanceof Claim)) throw new Error('It was answered')
    t.teardown(() => { claim.end() })
    return claim
  }
  const effect = async (claim: Claim, request: KeyedRequest, answer?: Answer): Promise<void> => await database.transaction(async (transaction) => {
    await transaction.query(SQL`INSERT INTO effects VALUES (${request.id.toString('hex')})`)
    await claim.record(transaction, answer)
  })
  const effects = async ({ id }: KeyedRequest): Promise<number> =>
    Number((await database.query<{ n: string }>(SQL`SELECT count(*) AS n FROM effects WHERE id = ${id.toString('hex')}`)).rows[0]?.n)
  const abandon = async ({ id }: KeyedRequest): Promise<unknown> =>
    await database.query(SQL`UPDATE idempotency_keys SET leased_until = now() - interval '1 second' WHERE id = ${id}`)

  t.test('an effect that was committed is answered, although nothing was sent and the process has ended', async (t) => {
    const request = requestOf()
    const claim = await claimed(request)
    await effect(claim, request, answerOf('first'))
    claim.end()
    await abandon(request)
    t.same(await open().claim(request), answerOf('first'))
  })

  t.test('an effect that was committed without its answer is not repeated', async (t) => {
    const request = requestOf()
    await effect(await claimed(request), request)
    await abandon(request)
    await t.rejects(ledger.claim(request), { code: 'ERR_ANSWER_NOT_KEPT', statusCode: 409 })
  })

  t.test('whoever was taken over can have no effect any more', async (t) => {
    const request = requestOf()
    const slow = await claimed(request)
    await abandon(request)
    const quick = await claimed(request)
    await t.rejects(effect(slow, request, answerOf('slow')), { code: 'ERR_REQUEST_IN_PROGRESS', statusCode: 409, retryAfter: 1 })
    await slow.settle(answerOf('slow'))
    await slow.release()
    await effect(quick, request, answerOf('quick'))
    t.same(await ledger.claim(request), answerOf('quick'))
    t.equal(await effects(request), 1)
  })

  t.test('a transaction that is run again after its commit was lost has no second effect', async (t) => {
    for (const answer of [answerOf('first'), undefined]) {
      const request = requestOf()
      const claim = await claimed(request)
      await effect(claim, request, answer)
      await t.rejects(effect(claim, request, answerOf('second')), { code: 'ERR_REQUEST_IN_PROGRESS' })
      await claim.settle({ ...answerOf('try again'), status: 409 })
      t.equal(await effects(request), 1)
      if (answer === undefined) await t.rejects(ledger.claim(request), { code: 'ERR_ANSWER_NOT_KEPT' })
      else t.same(await ledger.claim(request), answer)
    }
  })

  t.test('a claim that is wanted while its effect commits waits for it', async (t) => {
    const request = requestOf()
    const claim = await claimed(request)
    await abandon(request)
    let second: Promise<unknown> | undefined
    await database.transaction(async (transaction) => {
      await claim.record(transaction, answerOf('one'))
      second = ledger.claim(request)
      await eventually(async () => {
        const { rows } = await pool.query<{ n: string }>('SELECT count(*) AS n FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()')
        return Number(rows[0]?.n) > 0
      }, 'it waits')
    })
    t.same(await second, answerOf('one'))
  })

  t.test('the lease is prolonged while the process lives', async (t) => {
    const request = requestOf()
    const claim = await claimed(request, open({ lease: 600 }))
    const until = async (): Promise<Date | undefined> =>
      (await database.query<{ leased_until: Date }>(SQL`SELECT leased_until FROM idempotency_keys WHERE id = ${request.id}`)).rows[0]?.leased_until
    const first = await until()
    await eventually(async () => Number(await until()) > Number(first) + 700, 'it goes on')
    await t.rejects(ledger.claim(request), { code: 'ERR_REQUEST_IN_PROGRESS' })
    claim.end()
    await eventually(async () => await ledger.claim(request).then((found) => {
      if (found instanceof Claim) found.end()
      return true
    }, () => false), 'then it ends')
    t.same(faults, [])
  })

  t.test('a claim that nobody ends is prolonged no longer than its answer would be kept', async (t) => {
    const request = requestOf()
    await claimed(request, open({ lease: 150, ttl: 0.2 }))
    const isOver = async (): Promise<boolean> => (await database.query(SQL`
      SELECT FROM idempotency_keys WHERE id = ${request.id} AND leased_until < now() - interval '100 milliseconds'`)).rowCount === 1
    await t.resolves(eventually(isOver, 'its lease ends'))
  })

  t.test('what may have had its effect and is not repeatable is not given up, everything else that fails is', async (t) => {
    for (const [isRepeatable, isBegun, isLeft] of [[false, true, true], [false, false, false], [true, true, false]] as const) {
      const request = requestOf(undefined, { isRepeatable })
      const claim = await claimed(request)
      if (isBegun) claim.begin()
      await claim.fail()
      t.equal((await database.query(SQL`SELECT FROM idempotency_keys WHERE id = ${request.id}`)).rowCount, isLeft ? 1 : 0)
    }
  })

  t.test('what cannot be repeated is not taken over', async (t) => {
    const request = requestOf(undefined, { isRepeatable: false })
    await claimed(request)
    await t.rejects(ledger.claim(request), { code: 'ERR_REQUEST_IN_PROGRESS' })
    await abandon(request)
    await t.rejects(ledger.claim(request), { code: 'ERR_OUTCOME_UNKNOWN', statusCode: 409 })
  })

  t.test('a sealed answer opens under its secret and for its request alone', async (t) => {
    const request = requestOf(undefined, { isSealed: true })
    await effect(await claimed(request), request, answerOf('a secret'))
    const { rows: [row] } = await database.query<{ body: Buffer }>(SQL`SELECT body FROM idempotency_keys WHERE id = ${request.id}`)
    t.notOk(row!.body.includes('secret'))
    t.same(await ledger.claim(request), answerOf('a secret'))
    await t.rejects(open({ secret: 'b' }).claim(request), { code: 'ERR_ANSWER_NOT_KEPT', message: /SECRET_KEY/ })
    const other = requestOf(undefined, { isSealed: true })
    await effect(await claimed(other), other, answerOf('another'))
    await database.query(SQL`UPDATE idempotency_keys SET body = ${row!.body} WHERE id = ${other.id}`)
    await t.rejects(ledger.claim(other), { code: 'ERR_ANSWER_NOT_KEPT' })
  })

  t.test('an answer that is too large is not kept, and the request not repeated', async (t) => {
    for (const settle of [true, false]) {
      const request = requestOf()
      const claim = await claimed(request)
      const large: Answer = { ...answerOf(''), body: Buffer.alloc(MAX_ANSWER + 1) }
      await (settle ? claim.settle(large) : effect(claim, request, large))
      await t.rejects(ledger.claim(request), { code: 'ERR_ANSWER_NOT_KEPT', message: /too large/ })
      const fits = requestOf()
      const other = await claimed(fits)
      await other.settle({ ...large, body: Buffer.alloc(MAX_ANSWER, 7) })
      t.equal((await ledger.claim(fits) as Answer).body.length, MAX_ANSWER)
    }
  })

  t.test('what is old is swept, and nothing else', async (t) => {
    await database.query('DELETE FROM idempotency_keys')
    const kept = requestOf()
    await claimed(kept)
    await database.query(`INSERT INTO idempotency_keys (id, fingerprint, holder, leased_until, expires_at)
      SELECT sha256(n::text::bytea), '', gen_random_uuid(), now(), now() - interval '1 second' FROM generate_series(1, 2500) AS n`)
    t.equal(await ledger.sweep(), 2500)
    t.equal(await ledger.sweep(), 0)
    await t.rejects(ledger.claim(kept), { code: 'ERR_REQUEST_IN_PROGRESS' })
  })

  t.test('whatever becomes of its attempts, a request has one effect at most, and one answer', async (t) => {
    type Step = 'claim' | 'commit' | 'roll back' | 'settle' | 'release' | 'crash' | 'abandon' | 'other'
    const step = fc.constantFrom<Step>('claim', 'claim', 'commit', 'roll back', 'settle', 'release', 'crash', 'abandon', 'other')
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const request = requestOf()
      const holders: Claim[] = []
      let committed = 0
      let number = 0
      let first: string | undefined
      try {
        for (const what of steps) {
          const holder = holders[number % Math.max(1, holders.length)]
          const answer = answerOf(`answer ${++number}`)
          if (what === 'claim') {
            const found = await ledger.claim(request).catch((error: unknown) => error)
            if (found instanceof Claim) {
              if (committed > 0) throw new Error('It was claimed after its effect')
              holders.push(found)
            } else if (!(found instanceof Error)) {
              first ??= (found as Answer).body.toString()
              if ((found as Answer).body.toString() !== first) throw new Error('It has two answers')
            }
          } else if (what === 'other') {
            const found = await ledger.claim({ ...request, fingerprint: digestOf('other') }).catch((error: unknown) => error)
            // Only where there is no record of the request.
            if (found instanceof Claim) await found.release()
            else if (!(found instanceof Error)) throw new Error('Another request got the answer')
          } else if (what === 'abandon') {
            await abandon(request)
          } else if (holder === undefined) {
            continue
          } else if (what === 'commit') {
            if (await effect(holder, request, answer).then(() => true, () => false)) {
              committed++
              first ??= `answer ${number}`
            }
          } else if (what === 'roll back') {
            await database.transaction(async (transaction) => {
              await holder.record(transaction, answer)
              throw new Error('Something else went wrong')
            }).catch(() => {})
          } else if (what === 'settle' && committed === 0) {
            await holder.settle(answer)
            holders.splice(holders.indexOf(holder), 1)
          } else if (what === 'release') {
            await holder.release()
            holders.splice(holders.indexOf(holder), 1)
          } else {
            holder.end()
          }
        }
        return committed <= 1 && await effects(request) === committed
      } finally {
        for (const holder of holders) holder.end()
      }
    }), { numRuns: 60 })
    t.pass('in sixty histories')
  })
})
