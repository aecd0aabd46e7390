import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { machine } from '../../tools/servers/machine.js'
import { databaseUrl, freePort, memcachedUrl, redisUrl, startMemcached, startPostgres, startRedis, type ServerProcess } from './servers.js'

const query = async (url: string, text: string): Promise<unknown[]> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

const connects = (port: number): Promise<boolean> => new Promise((resolve) => {
  const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true) })
  socket.on('error', () => { resolve(false) })
})

t.test('databaseUrl gives each caller an empty UTF-8 database, dropped with its test', async (t) => {
  let gone = ''
  await t.test('while the test runs', async (t) => {
    const [one, other] = await Promise.all([databaseUrl(t), databaseUrl(t)])
    gone = one
    t.not(one, other)
    await query(one, 'CREATE TABLE here (id int)')
    t.strictSame(await query(other, "SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'public'"), [{ n: 0 }])
    t.strictSame(await query(one, 'SHOW server_encoding'), [{ server_encoding: 'UTF8' }])
  })
  await t.rejects(query(gone, 'SELECT 1'), { code: '3D000' })
})

t.test('redisUrl gives each caller an empty Redis', async (t) => {
  const redis = new Redis(await redisUrl(t))
  t.teardown(() => { redis.disconnect() })
  t.equal(await redis.dbsize(), 0)
  await redis.set('a', '1')
})

t.test('memcachedUrl leads to a memcached', async (t) => {
  t.ok(await connects(Number(new URL(await memcachedUrl(t)).port)))
})

t.test('a server on loopback can be paused, resumed, killed, restarted and stopped', async (t) => {
  const server = await startRedis(t, { appendOnly: true, password: 'a b/c', args: ['--appendfsync', 'always'] })
  const redis = new Redis(server.url, { maxRetriesPerRequest: 0, retryStrategy: () => 20, enableOfflineQueue: true, commandTimeout: 200 })
  redis.on('error', () => {})
  t.teardown(() => { redis.disconnect() })

  await redis.set('kept', 'yes')
  server.pause()
  await t.rejects(redis.get('kept'), /timed out/)
  server.resume()
  t.equal(await redis.get('kept'), 'yes')

  const { pid } = server
  await server.kill()
  t.equal(server.pid, undefined)
  t.notOk(await connects(server.port))
  await server.restart()
  t.not(server.pid, pid)
  const again = new Redis(server.url)
  t.teardown(() => { again.disconnect() })
  t.equal(await again.get('kept'), 'yes')

  await server.stop()
  await server.stop()
  t.notOk(await connects(server.port))
})

t.test('dispose ends a paused server and deletes its folder', async (t) => {
  const server: ServerProcess = await startRedis(t)
  t.ok(existsSync(server.folder))
  server.pause()
  await server.dispose()
  t.notOk(existsSync(server.folder))
})

t.test('a server does not outlive an owner that dies without a word', async (t) => {
  const script = `
    import { startRedis } from './tools/servers/launch.ts'
    const server = await startRedis({ kind: 'program', path: process.argv[1] })
    console.log(server.port, server.folder)`
  const owner = spawn(process.execPath, ['--import', './test/support/typescript.mjs', '--input-type=module', '-e', script, machine.find('redis') ?? ''], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const [line] = await once(createInterface(owner.stdout), 'line') as [string]
  const [port, folder] = line.split(' ') as [string, string]
  t.ok(await connects(Number(port)))
  owner.kill('SIGKILL')
  while (existsSync(folder)) await setImmediate()
  t.notOk(await connects(Number(port)))
})

t.test('PostgreSQL and memcached can be restarted on their port', async (t) => {
  const [postgres, memcached] = await Promise.all([startPostgres(t), startMemcached(t)])
  await query(postgres.url, 'CREATE TABLE kept (id int)')
  await Promise.all([postgres.kill(), memcached.kill()])
  await Promise.all([postgres.restart(), memcached.restart()])
  t.strictSame(await query(postgres.url, 'SELECT count(*)::int AS n FROM kept'), [{ n: 0 }])
  t.ok(await connects(memcached.port))
})

t.test('freePort gives a port that nothing listens on', async (t) => {
  t.notOk(await connects(await freePort()))
})
