import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { CredentialStore } from '../../../../services/access/credential-store.js'
import { HeldKeys } from '../../../../services/access/keys/held-keys.js'
import { makeKey } from '../../../../services/access/keys/key-text.js'
import { KeyUses } from '../../../../services/access/keys/key-uses.js'
import type { Queryable } from '../../../../services/database.js'
import { UnavailableError } from '../../../../services/errors.js'
import { eventually } from '../../../support/caches.js'
import { OPERATOR, prepare, silent } from './setup.js'

t.test('what is read is what was made, all of it first and then what has changed', async (t) => {
  const { held, keys, credentials, database, noted } = await prepare(t)
  const made = await keys.create(OPERATOR, { scopes: ['cache:*'], forbid: ['cache:delete'], namespaces: ['a'], rate_limit: '5/second', ttl: 60 })
  const principal = await held.authenticate(made.key)
  t.match(principal, { kind: 'api_key', id: `key:${made.id}`, rateLimits: '5/second', expiresAt: Date.parse(made.expires_at!) })
  t.strictSame(principal.scopes.permissions(), ['cache:read', 'cache:write'])
  t.strictSame([...principal.namespaces!], ['a'])
  t.strictSame(noted, [`key:${made.id}`])

  const late = new HeldKeys({ credentials, uses: { note: () => {} }, log: silent })
  await credentials.follow(late.load)
  t.strictSame(await late.authenticate(made.key), principal)
  await keys.revoke(OPERATOR, made.id)
  for (const each of [held, late]) {
    t.equal(each.size, 0)
    t.throws(() => each.authenticate(made.key), { message: /not valid/, statusCode: 401 })
  }
  t.equal((await database.query('SELECT FROM api_keys')).rowCount, 1, 'though it is still listed')
})

t.test('what is no key by its checksum is refused before anything is looked up, what cannot be known with 503', async (t) => {
  const { keys, database } = await prepare(t)
  const { key } = await keys.create(OPERATOR, { scopes: ['cache:read'] })
  let asked = 0
  const away = {
    isCurrent: false,
    epoch: 1,
    ensureCurrent: async () => {
      asked++
      throw new UnavailableError('away')
    }
  } as unknown as CredentialStore
  const held = new HeldKeys({ credentials: away, uses: { note: () => {} }, log: silent })
  ;(await held.load(database, 0))()
  t.equal(held.size, 1)
  t.equal(held.epoch, -1, 'nothing that is remembered counts')
  t.throws(() => held.authenticate(key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')), { message: /not valid/, statusCode: 401 })
  t.equal(asked, 0)
  await t.rejects(async () => await held.authenticate(key), { message: 'away', statusCode: 503 })
})

t.test('a key is no key with the secret of another, and unknown ones are told the same', async (t) => {
  const { held, keys } = await prepare(t)
  const { key } = await keys.create(OPERATOR, { scopes: ['cache:read'] })
  const refusal = async (text: string): Promise<{ message: string, headers: object }> => {
    try {
      await held.authenticate(text)
    } catch (error) {
      const { message, headers } = error as { message: string, headers: object }
      return { message, headers }
    }
    throw new Error('It was let in')
  }
  const unknown = await refusal(makeKey().text)
  t.strictSame(await refusal(`${key.slice(0, -1)}!`), unknown)
  t.strictSame(await refusal('larder_'), unknown)
})

t.test('what another release has stored permits no more than is known here', async (t) => {
  const { held, keys, credentials, warned } = await prepare(t)
  const [one, other] = [await keys.create(OPERATOR, { scopes: ['cache:read'] }), await keys.create(OPERATOR, { scopes: ['*'] })]
  await credentials.change(async (transaction, revision) => {
    await transaction.query(`UPDATE api_keys SET scopes = '{cache:read,future:read}', revision = ${revision} WHERE id = '${one.id}'`)
    await transaction.query(`UPDATE api_keys SET forbid = '{future:read}', revision = ${revision} WHERE id = '${other.id}'`)
  })
  t.strictSame((await held.authenticate(one.key)).scopes.permissions(), ['cache:read'], 'an unknown scope grants nothing')
  t.throws(() => held.authenticate(other.key), { message: /not valid/, statusCode: 401 }, 'an unknown ban cannot be kept, so the key is left out')
  t.match(warned, [{ key: other.id, forbid: ['future:read'] }])
  await t.rejects(keys.rotate(OPERATOR, one.id, {}), { message: /future:read/, statusCode: 403 })
})

t.test('the last use of a key is written once a minute at most, for many together, and never waited for', async (t) => {
  const { database, keys } = await prepare(t)
  const ids = (await Promise.all(Array.from({ length: 3 }, async () => await keys.create(OPERATOR, { scopes: ['cache:read'] })))).map(({ id }) => id)
  const statements: unknown[] = []
  let fails = false
  const counted: Queryable = {
    query: async (statement) => {
      statements.push(statement)
      if (fails) throw new Error('away')
      return await database.query(statement)
    }
  }
  const open = (): KeyUses => new KeyUses({ database: counted, interval: 10, log: silent })
  const written = async (): Promise<(number | null)[]> => (await Promise.all(ids.map(async (id) => (await keys.get(OPERATOR, id)).last_used_at)))
    .map((text) => text === null ? null : Date.parse(text))

  const uses = open()
  const start = Date.parse('2026-01-31T12:00:00.000Z')
  for (let i = 0; i < 1000; i++) for (const id of ids.slice(0, 2)) uses.note(`key:${id}`, start + i)
  await eventually(async () => (await written())[1] === start, 'the first use of each is written')
  t.strictSame(await written(), [start, start, null])
  t.equal(statements.length, 1)

  uses.note(`key:${ids[0]!}`, start + 59_999)
  uses.note(`key:${ids[2]!}`, start + 59_999)
  await eventually(async () => (await written())[2] === start + 59_999, 'the third')
  t.equal((await written())[0], start, 'a use within the minute is not')

  fails = true
  uses.note(`key:${ids[0]!}`, start + 60_000)
  await eventually(() => statements.length === 3, 'it is tried')
  fails = false
  uses.note(`key:${ids[1]!}`, start + 120_000)
  await eventually(async () => (await written())[0] === start + 60_000, 'what could not be written comes with the next')
  t.equal((await written())[1], start + 120_000)

  const other = open()
  other.note(`key:${ids[0]!}`, start + 60_001)
  await other.close()
  t.equal((await written())[0], start + 60_000, 'nor does another process write it twice')
  other.note(`key:${ids[0]!}`, start + 180_000)
  await other.close()
  t.equal((await written())[0], start + 180_000, 'what is left is written at the end')
  await uses.close()
  const { length } = statements
  await delay(30)
  t.equal(statements.length, length)
})
