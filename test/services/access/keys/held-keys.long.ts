import t from 'tap'
import { MAX_LIVE_KEYS } from '../../../../services/access/keys/held-keys.js'
import { OPERATOR, prepare } from './setup.js'

t.test('as many keys are live as there may be, and dead ones go in time', async (t) => {
  let now = Date.now()
  const { held, keys, credentials, database } = await prepare(t, { now: () => now })
  const fill = async (count: number, expires: string, revoked = 'NULL'): Promise<void> => {
    await credentials.change(async (transaction, revision) => await transaction.query(`
      INSERT INTO api_keys (id, secret_hash, scopes, created_by, expires_at, revoked_at, revision)
      SELECT gen_random_uuid()::text, repeat('0', 64), '{cache:read}', 'test', ${expires}, ${revoked}, ${revision} FROM generate_series(1, ${count})`))
  }
  await fill(MAX_LIVE_KEYS - 1, "now() + interval '1 hour'")
  const last = await keys.create(OPERATOR, { scopes: ['cache:read'] })
  t.equal(held.size, MAX_LIVE_KEYS)
  await t.rejects(keys.create(OPERATOR, { scopes: ['cache:read'] }), { message: /10000/, statusCode: 409 })
  await keys.revoke(OPERATOR, last.id)
  await keys.create(OPERATOR, { scopes: ['cache:read'] })

  now += 2 * 3_600_000
  await fill(2, "now() + interval '3 hours'")
  t.equal(held.size, 3, 'what has expired is let go of when there is more than there may be')

  await fill(50, "now() - interval '91 days'")
  await fill(60, 'NULL', "now() - interval '91 days'")
  await fill(10_500, "now() - interval '1 day'")
  await database.query("UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE created_by = 'test' AND expires_at < now() + interval '2 hours' AND expires_at > now()")
  await keys.create(OPERATOR, { scopes: ['cache:read'] })
  const { rows: [row] } = await database.query<{ old: number, dead: number }>(`
    SELECT count(*) FILTER (WHERE least(revoked_at, expires_at) < now() - interval '90 days')::int AS old,
      count(*) FILTER (WHERE least(revoked_at, expires_at) <= now())::int AS dead FROM api_keys`)
  t.strictSame(row, { old: 0, dead: 10_000 })
})
