import t from 'tap'
import { Tables } from '../../../../../services/cache/backends/database/tables.js'
import { BackendUnavailableError } from '../../../../../services/cache/errors.js'
import { Retry } from '../../../../../services/cache/retry.js'

const fault = (code: string | undefined, message = 'lost') => Object.assign(new Error(message), code === undefined ? {} : { code })

/** Tables of a database that fails so before it answers; the second statement writes. */
function failing (...faults: Error[]) {
  const asked: string[] = []
  const retry = new Retry({ dependency: 'postgres', policy: { attempts: 3, baseDelay: 1, maxDelay: 1, deadline: 5000 } })
  const pool = {
    query: async ({ text }: { text: string }) => {
      asked.push(text)
      const next = faults.shift()
      if (next !== undefined) throw next
      return { rows: [{ n: 1 }] }
    }
  }
  const tables = new Tables<'read' | 'write'>({
    connections: { pool, concurrency: 1, retry }, prefix: 'test', texts: { read: 'SELECT', write: 'INSERT' }, reads: new Set(['read']), owner: 'o', name: 'database', away: 'Away.'
  })
  return { tables, asked }
}

t.test('a read whose connection was lost is asked again, a write is not', async (t) => {
  for (const lost of [fault('57P01'), fault('ECONNREFUSED'), fault('EPIPE'), fault(undefined, 'Connection terminated unexpectedly')]) {
    const { tables, asked } = failing(lost)
    t.strictSame(await tables.ask('read'), [{ n: 1 }])
    t.equal(asked.length, 2)
    const writing = failing(lost)
    await t.rejects(writing.tables.ask('write'), BackendUnavailableError)
    t.strictSame(writing.asked, ['INSERT'])
  }
})

t.test('a read that was given up, refused or wrong is not asked again', async (t) => {
  for (const lasting of [fault(undefined, 'Query read timeout'), fault('57014'), fault('53100'), fault('42P01')]) {
    const { tables, asked } = failing(lasting)
    await t.rejects(tables.ask('read'))
    t.equal(asked.length, 1, lasting.message)
  }
})

t.test('a database that stays away is asked as often as the policy says, and is left alone then', async (t) => {
  const { tables, asked } = failing(...Array.from({ length: 9 }, () => fault('ECONNREFUSED')))
  await t.rejects(tables.ask('read'), { message: 'Away.' })
  t.equal(asked.length, 3)
  t.equal(tables.breaker, 'open')
  await t.rejects(tables.ask('read'), BackendUnavailableError)
  t.equal(asked.length, 3)
})
