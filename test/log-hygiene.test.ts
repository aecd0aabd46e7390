import { once } from 'node:events'
import { connect } from 'node:net'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { buildApp } from '../app.js'
import { loadConfig } from '../config.js'
import { eventually } from './support/caches.js'
import { databaseUrl } from './support/servers.js'
import { temporaryFolder } from './support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'

void t.test('whatever is presented as a credential stands in no log, no problem and no audit', async (t) => {
  let log = ''
  const stream = { write: (text: string) => { log += text } }
  const config = loadConfig({
    DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'trace', CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR
  })
  const app = await buildApp(config, { logger: { stream, level: 'trace' } })
  t.teardown(async () => app.close())
  const address = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))

  const made = async <Made>(url: string, payload: object): Promise<Made> =>
    (await app.inject({ method: 'POST', url, payload, headers: { 'x-api-key': ADMINISTRATOR } })).json<Made>()
  const { key } = await made<{ key: string }>('/keys', { scopes: ['cache:read'] })
  const { key: ended, id } = await made<{ key: string, id: string }>('/keys', { scopes: ['*'] })
  await app.inject({ method: 'DELETE', url: `/keys/${id}`, headers: { 'x-api-key': ADMINISTRATOR } })
  const { token } = await made<{ token: string }>('/valet/token', { scopes: ['cache:read'] })
  const secrets: Record<string, string> = {
    'the administrator’s key': ADMINISTRATOR,
    'an API key': key,
    'one that is revoked': ended,
    'one with a wrong end': key.slice(0, -3) + '000',
    'a valet key': token,
    'one that was changed': token.slice(0, -6) + 'AAAAAA',
    'something made up': 'made-up-secret-0123456789'
  }
  let answers = ''
  // From another address each time: where too many credentials have failed none is looked at any more.
  let sources = 0
  const inject = async (request: Omit<InjectOptions, 'remoteAddress'>) => (await app.inject({ ...request, remoteAddress: `198.18.${++sources >> 8}.${sources & 255}` })).body
  for (const secret of Object.values(secrets)) {
    const presentations = [
      { 'x-api-key': secret }, { authorization: `Bearer ${secret}` }, { authorization: secret }, { authorization: `Basic ${secret}` },
      { authorization: `Bearer ${secret} ${secret}` }, { authorization: `Bearer ${secret}`, 'x-api-key': secret }, { cookie: `token=${secret}` }
    ]
    for (const headers of presentations) {
      for (const url of ['/api/cache/get/a', '/items', '/health', '/no/such/path', '/items?unknown=1', '/items/%zz']) {
        answers += await inject({ url, headers })
      }
      answers += await inject({ method: 'POST', url: '/api/cache/set', payload: '{', headers: { ...headers, 'content-type': 'application/json' } })
    }
    for (const name of ['api_key', 'x-api-key', 'x_api_key', 'access_token', 'token', 'vk', 'authorization', 'jwt', 'credential', '%74oken']) {
      for (const path of ['/items', '/api/cache/get/a', '/no/such/path']) answers += await inject({ url: `${path}?${name}=${secret}` })
    }
    // What cannot be read as a request has a header, too.
    const socket = connect(Number(address.port), address.hostname)
    socket.end(`GET /items HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${secret}\r\nno colon\r\n\r\n`)
    for await (const chunk of socket) answers += String(chunk)
    if (!socket.destroyed) await once(socket, 'close')
  }
  // What is recognised is masked in a path, too.
  for (const secret of [key, ended, token]) await app.inject({ method: 'DELETE', url: `/keys/${secret}`, headers: { 'x-api-key': ADMINISTRATOR } })
  const audited = await app.inject({ url: '/audit?limit=1000', headers: { 'x-api-key': ADMINISTRATOR } })
  await app.close()

  t.match(log, /"msg":"request"/, 'there is an access log')
  t.match(log, /request refused/, 'and a log of everything')
  t.match(answers, /problems\/unauthorized/)
  t.ok(audited.json<{ entries: object[] }>().entries.length > 5)
  for (const [what, secret] of Object.entries(secrets)) {
    for (const [where, text] of Object.entries({ log, answers, audit: audited.body })) {
      for (const part of [secret, encodeURIComponent(secret), secret.slice(0, -1), secret.slice(secret.lastIndexOf('_') + 1), secret.split('.')[2] ?? secret]) {
        if (part.length >= 8) t.notOk(text.includes(part), `${what} is not in the ${where}`)
      }
    }
  }
})

void t.test('a start without the Redis that was named says once that events wait', async (t) => {
  let log = ''
  // Nothing listens on port 1.
  const config = loadConfig({ DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), REDIS_URL: 'redis://127.0.0.1:1' })
  const app = await buildApp(config, { logger: { stream: { write: (text: string) => { log += text } } } })
  t.teardown(async () => app.close())
  await app.ready()
  await eventually(() => log.includes('events wait'), 'a line about events')
  await app.close()
  t.equal(log.match(/events wait/g)?.length, 1)
  t.equal(log.match(/Redis is away/g)?.length, 1)
})
