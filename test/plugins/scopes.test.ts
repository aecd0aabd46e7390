import t from 'tap'
import Fastify from 'fastify'
import scopes from '../../plugins/scopes.js'
import type { Scope } from '../../services/access/scopes.js'

async function start (...stated: (Scope | undefined)[]) {
  const app = Fastify()
  await app.register(scopes)
  await app.register(async (app) => {
    stated.forEach((scope, i) => app.get(`/route-${i}`, { config: scope === undefined ? {} : { scope } }, async () => 'ok'))
  }, { prefix: '/deep' })
  return app
}

t.test('a service whose routes all state a scope starts', async (t) => {
  const app = await start('public', 'cache:read', 'valet:issue')
  await app.ready()
  t.equal((await app.inject('/deep/route-0')).statusCode, 200)
  await app.close()
})

t.test('a route without a scope, or with one that does not exist, stops the start by name', async (t) => {
  const app = await start('public', undefined, 'cache:reed' as Scope)
  await t.rejects(async () => app.ready(), { message: /GET \/deep\/route-1 \(none\);.*GET \/deep\/route-2 \(cache:reed\)/ })
})

t.test('a surrounding plugin can state the scope of the routes of a package', async () => {
  const app = Fastify()
  await app.register(scopes)
  await app.register(async (app) => {
    app.addHook('onRoute', (route) => { route.config = { ...route.config, scope: 'public' } })
    app.get('/theirs', async () => 'ok')
  })
  await app.ready()
  await app.close()
})
