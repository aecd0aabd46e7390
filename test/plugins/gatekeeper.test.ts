import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import gatekeeper, { type Denial, type GatekeeperOptions } from '../../plugins/gatekeeper.js'
import metrics from '../../plugins/metrics.js'
import scopes from '../../plugins/scopes.js'
import { ScopeSet } from '../../services/access/scopes.js'
import { badCredential } from '../../services/access/errors.js'
import { UnavailableError } from '../../services/errors.js'

const KEY = 'the-administrators-own-key'

async function start (t: Test, options: GatekeeperOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(scopes)
  await app.register(gatekeeper, { administratorKey: KEY, ...options })
  app.gatekeeper.add({
    recognises: (credential) => credential.startsWith('test_'),
    authenticate: (credential) => {
      const scope = credential.slice('test_'.length)
      if (scope === 'away') throw new UnavailableError('The store of credentials is away: try again.')
      if (scope === 'bad') return Promise.reject(badCredential('bad'))
      return { kind: 'api_key', id: 'key:test', scopes: ScopeSet.of([scope]) }
    }
  })
  app.get('/open', { config: { scope: 'public' } }, async (request) => request.principal.kind)
  app.get('/items', { config: { scope: 'items:read' } }, async (request) => request.principal.id)
  app.post('/items', { config: { scope: 'items:write' } }, async (request) => request.principal.id)
  app.get('/recipes', { config: { scope: 'recipes:read' } }, async (request) => request.principal.id)
  t.teardown(async () => app.close())
  await app.ready()
  return app
}

t.test('with credentials required, who has none is asked for one, whatever the route', async (t) => {
  const app = await start(t)
  for (const url of ['/items', '/recipes']) {
    const { statusCode, headers } = await app.inject(url)
    t.equal(statusCode, 401)
    t.match(headers['www-authenticate'], /^Bearer realm="larder"$/)
  }
  t.equal((await app.inject('/open')).body, 'anonymous')
})

t.test('the administrator may do everything, with the key in either header', async (t) => {
  const app = await start(t)
  for (const headers of [{ 'x-api-key': KEY }, { authorization: `Bearer ${KEY}` }, { authorization: `bearer  ${KEY}` }]) {
    for (const url of ['/items', '/recipes']) t.equal((await app.inject({ url, headers })).body, 'administrator')
  }
})

t.test('in development local callers may do all but what recipes guard', async (t) => {
  const app = await start(t, { required: false })
  t.equal((await app.inject('/items')).body, 'local')
  t.equal((await app.inject({ url: '/items', remoteAddress: '::ffff:127.0.0.2' })).body, 'local')
  t.equal((await app.inject('/recipes')).statusCode, 401)
  for (const remoteAddress of ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '128.0.0.1']) {
    t.equal((await app.inject({ url: '/items', remoteAddress })).statusCode, 401, remoteAddress)
  }
})

t.test('where everyone is local, addresses do not matter', async (t) => {
  const app = await start(t, { required: false, everyoneIsLocal: true })
  t.equal((await app.inject({ url: '/items', remoteAddress: '10.0.0.1' })).body, 'local')
  t.equal((await app.inject({ url: '/recipes', remoteAddress: '10.0.0.1' })).statusCode, 401)
})

t.test('a credential that is presented is checked and limits its bearer, in development and on public routes too', async (t) => {
  const app = await start(t, { required: false })
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': 'test_items:read' } })).body, 'key:test')
  const { statusCode, headers } = await app.inject({ method: 'POST', url: '/items', headers: { 'x-api-key': 'test_items:read' } })
  t.equal(statusCode, 403)
  t.match(headers['www-authenticate'], /error="insufficient_scope", scope="items:write"/)
  for (const credential of ['test_bad', 'unheard-of', '']) {
    for (const url of ['/items', '/open']) {
      const { statusCode, headers } = await app.inject({ url, headers: { 'x-api-key': credential } })
      t.equal(statusCode, 401, `${url} ${credential}`)
      t.match(headers['www-authenticate'], /error="invalid_token"/)
    }
  }
})

t.test('a store of credentials that is away lets nobody in, and keeps nobody from what is public', async (t) => {
  const app = await start(t)
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': 'test_away' } })).statusCode, 503)
  t.equal((await app.inject({ url: '/open', headers: { 'x-api-key': 'test_away' } })).body, 'anonymous')
})

t.test('two credentials are one too many, and other schemes are none', async (t) => {
  const app = await start(t)
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': KEY, authorization: `Bearer ${KEY}` } })).statusCode, 400)
  for (const authorization of ['', 'Bearer', `Basic ${KEY}`, `Bearer ${KEY} ${KEY}`, KEY]) {
    t.equal((await app.inject({ url: '/items', headers: { authorization } })).statusCode, 401, authorization)
  }
  t.equal((await app.inject(`/items?api_key=${KEY}`)).statusCode, 401)
})

t.test('every denial is told', async (t) => {
  const app = await start(t)
  const denials: Denial[] = []
  app.gatekeeper.onDenial((denial) => { denials.push(denial) })
  await app.inject('/items')
  await app.inject({ method: 'POST', url: '/items', headers: { 'x-api-key': 'test_items:read' } })
  await app.inject({ url: '/open', headers: { 'x-api-key': 'test_bad' } })
  await app.inject({ url: '/items', headers: { 'x-api-key': KEY } })
  t.match(denials.map(({ permission, principal, error }) => [permission, principal.id, error.statusCode, error.why]), [
    ['items:read', '', 401, undefined], ['items:write', 'key:test', 403, undefined], ['public', '', 401, 'bad']
  ])
})

t.test('what is asked before a credential is looked at can turn a request away', async (t) => {
  const app = await start(t)
  app.gatekeeper.before((request) => request.headers['x-api-key'] === 'test_items:read' ? new UnavailableError('later') : undefined)
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': 'test_items:read' } })).statusCode, 503)
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': KEY } })).statusCode, 200)
})

t.test('a credential that was checked is not checked again, until something has changed', async (t) => {
  const app = await start(t)
  const checked: string[] = []
  const recalled: string[] = []
  const authenticator = {
    epoch: 1,
    recognises: (credential: string) => credential.startsWith('other_'),
    authenticate: async (credential: string) => {
      checked.push(credential)
      if (credential === 'other_bad') throw badCredential('bad')
      return { kind: 'api_key' as const, id: credential, scopes: ScopeSet.of(['items:read']) }
    },
    recall: ({ id }: { id: string }, { ip }: { ip: string }) => {
      if (ip !== '127.0.0.1') throw badCredential('from elsewhere')
      recalled.push(id)
    }
  }
  app.gatekeeper.add(authenticator)
  const ask = async (credential: string, remoteAddress = '127.0.0.1') =>
    (await app.inject({ url: '/items', headers: { 'x-api-key': credential }, remoteAddress })).statusCode

  for (let i = 0; i < 3; i++) t.equal(await ask('other_good'), 200)
  t.strictSame([checked, recalled], [['other_good'], ['other_good', 'other_good']])
  t.equal(await ask('other_good', '10.0.0.1'), 401, 'what differs from request to request is looked at each time')
  authenticator.epoch++
  t.equal(await ask('other_good'), 200)
  t.equal(checked.length, 2)
  authenticator.epoch = -1
  for (let i = 0; i < 2; i++) t.equal(await ask('other_good'), 200)
  t.equal(checked.length, 4, 'and nothing is kept while nobody can say')
  authenticator.epoch = 3
  for (let i = 0; i < 2; i++) t.equal(await ask('other_bad'), 401)
  t.equal(checked.length, 6, 'what is invalid is not remembered')
})

t.test('who is turned away is counted, by one of four reasons', async (t) => {
  const app = Fastify()
  t.teardown(async () => app.close())
  await app.register(metrics, { enabled: true })
  await app.register(scopes)
  await app.register(gatekeeper, { administratorKey: KEY })
  app.gatekeeper.add({
    recognises: (credential) => credential.startsWith('test_'),
    authenticate: (credential) => {
      if (credential === 'test_away') throw new UnavailableError('The store of credentials is away: try again.')
      return { kind: 'api_key', id: 'key:test', scopes: ScopeSet.of(['items:read']) }
    }
  })
  app.post('/items', { config: { scope: 'items:write' } }, async () => 'ok')
  app.get('/open', { config: { scope: 'public' } }, async () => 'ok')
  await app.ready()
  await app.inject({ method: 'POST', url: '/items' })
  for (const key of ['test_a', 'test_b', 'test_away', 'wrong', 'wrong', 'wrong', KEY]) await app.inject({ method: 'POST', url: '/items', headers: { 'x-api-key': key } })
  await app.inject({ url: '/open', headers: { 'x-api-key': 'test_away' } })
  const counted = [...(await app.metrics.render()).matchAll(/^larder_denials_total\{reason="(\w+)"\} (\d+)$/gm)].map(([, reason, count]) => [reason, count])
  t.strictSame(counted, [['no_credential', '1'], ['bad_credential', '3'], ['forbidden', '2'], ['unavailable', '1']])
})
