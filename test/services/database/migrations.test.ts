import { readdirSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import { migrate } from '../../../services/database/migrations.js'
import { databaseUrl } from '../../support/servers.js'

t.test('migrations', async (t) => {
  const url = await databaseUrl(t)
  const connect = async () => {
    const client = new pg.Client(url)
    await client.connect()
    t.teardown(() => client.end())
    return client
  }
  const client = await connect()
  const tables = async () => (await client.query<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")).rows.map(({ name }) => name)
  const ofMigrations: Record<number, string[]> = {
    1: ['items', 'larder_migrations', 'posts', 'products', 'users'],
    2: ['settings'],
    3: ['milestones'],
    4: ['cache_begun', 'cache_counters', 'cache_entries', 'cache_invalidations'],
    6: ['cache_durable'],
    7: ['api_keys', 'credentials_revision'],
    8: ['valet_signing_keys', 'valet_tokens'],
    9: ['audit_log'],
    10: ['recipe_items', 'recipes'],
    11: ['settings_history'],
    12: ['event_failures', 'event_inbox', 'event_readers', 'events'],
    13: ['cache_pools'],
    14: ['idempotency_keys'],
    15: ['event_subjects'],
    16: ['server_life'],
    19: ['setting_instances'],
    20: ['webhook_deliveries', 'webhooks'],
    22: ['setting_overrides']
  }
  const all = Object.values(ofMigrations).flat().sort()
  const versions = readdirSync(new URL('../../../migrations/', import.meta.url))
    .filter((name) => name.includes('.do.')).map((name) => Number.parseInt(name)).sort((a, b) => a - b)

  t.test('apply once, however many run them at a time', async (t) => {
    const clients = await Promise.all(Array.from({ length: 4 }, connect))
    const applied = await Promise.all(clients.map(async (one) => await migrate(one, { sampleData: 'fresh' })))
    t.strictSame(applied.flat(), versions)
    t.strictSame(await tables(), all)
    t.strictSame((await client.query('SELECT id, name FROM users ORDER BY id')).rows[0], { id: 1, name: 'Cached User A' })
    t.equal((await client.query('SELECT FROM products')).rowCount, 8)
  })

  t.test('enter the sample data once in the life of a database', async (t) => {
    await client.query('DELETE FROM products')
    t.strictSame(await migrate(client, { sampleData: 'always' }), [])
    t.equal((await client.query('SELECT FROM products')).rowCount, 0)
  })

  t.test('can be undone and applied again', async (t) => {
    t.strictSame(await migrate(client, { sampleData: 'never', target: 0 }), versions.toReversed())
    t.strictSame(await tables(), ['larder_migrations'])
    t.strictSame(await migrate(client, { sampleData: 'never' }), versions)
    t.strictSame(await tables(), all)
    t.equal((await client.query('SELECT FROM users')).rowCount, 0)
  })

  t.test('leave everything as it was when one fails', async (t) => {
    await migrate(client, { sampleData: 'never', target: 1 })
    await client.query('CREATE TABLE milestones (in_the_way int)')
    await t.rejects(migrate(client, { sampleData: 'never' }), { code: '42P07' })
    t.strictSame(await tables(), [...ofMigrations[1]!, 'milestones'].sort())
    await client.query('DROP TABLE milestones')
    t.strictSame(await migrate(client, { sampleData: 'never' }), versions.slice(1))
  })
})
