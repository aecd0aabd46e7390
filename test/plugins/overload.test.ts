import { connect, type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import accessLog from '../../plugins/access-log.js'
import components from '../../plugins/components.js'
import errors from '../../plugins/errors.js'
import gatekeeper from '../../plugins/gatekeeper.js'
import metrics from '../../plugins/metrics.js'
import overload from '../../plugins/overload.js'
import requests from '../../plugins/requests.js'
import scopes from '../../plugins/scopes.js'
import { eventually } from '../support/caches.js'

async function start (t: Test, options = { delay: 0, concurrency: 4 }, more: (app: FastifyInstance) => void = () => {}) {
  const waiting: (() => void)[] = []
  const app = Fastify()
  await app.register(components)
  await app.register(scopes)
  await app.register(metrics, { enabled: true })
  await app.register(accessLog, { enabled: false })
  await app.register(requests)
  await app.register(errors)
  await app.register(gatekeeper, { required: false })
  await app.register(overload, options)
  app.get('/slow', { config: { scope: 'public' } }, async () => await new Promise<string>((resolve) => { waiting.push(() => { resolve('done') }) }))
  app.get('/bulk', { config: { scope: 'public', priority: 'bulk' } }, async () => 'bulk')
  app.get('/drop', { config: { scope: 'public', priority: 'invalidation' } }, async () => 'dropped')
  app.get('/probe', { config: { scope: 'public', priority: 'health' } }, async () => 'alive')
  more(app)
  t.teardown(async () => app.close())
  await app.ready()
  const status = async (url: string) => (await app.inject(url)).statusCode
  const underWay = async () => Number(/^larder_requests_under_way (\d+)$/m.exec(await app.metrics.render())?.[1])
  return { app, waiting, status, underWay }
}

t.test('what is under way makes others wait, the least important first', async (t) => {
  const { app, waiting, status, underWay } = await start(t)
  const slow = [app.inject('/slow'), app.inject('/slow')]
  await eventually(() => waiting.length === 2, 'both are under way')
  t.strictSame([await status('/drop'), await status('/probe')], [200, 200])
  const refused = await app.inject('/bulk')
  t.equal(refused.statusCode, 503)
  t.match(refused.json(), { type: '/problems/temporary-reduced-capacity' })
  const wait = Number(refused.headers['retry-after'])
  t.ok(Number.isInteger(wait) && wait >= 1 && wait <= 5)
  slow.push(app.inject('/slow'), app.inject('/slow'))
  await eventually(() => waiting.length === 4, 'all four are')
  t.strictSame([await status('/slow'), await status('/drop'), await status('/probe')], [503, 503, 200])
  for (const go of waiting) go()
  t.strictSame((await Promise.all(slow)).map(({ statusCode }) => statusCode), [200, 200, 200, 200])
  await eventually(async () => await underWay() === 0, 'nothing is under way any more')
  t.equal(await status('/bulk'), 200)
  t.match(await app.metrics.render(), /larder_requests_shed_total\{priority="bulk"\} 1\n/)
})

t.test('who does not wait for the answer is under way no more', async (t) => {
  const { app, waiting, underWay } = await start(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => waiting.length === 1, 'it is under way')
  t.equal(await underWay(), 1)
  socket.destroy()
  await eventually(async () => await underWay() === 0, 'it is not')
})

t.test('what stays open for its caller is not under way', async (t) => {
  let [open, closed] = [0, 0]
  const { app, underWay } = await start(t, { delay: 0, concurrency: 4 }, (app) => {
    app.get('/open', { config: { scope: 'public' } }, (_request, reply) => {
      reply.hijack()
      reply.raw.on('close', () => { closed++ }).write('a')
      reply.stayOpen?.()
      reply.stayOpen?.()
      open++
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const sockets = Array.from({ length: 6 }, () => connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {}))
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  for (const socket of sockets) socket.write('GET /open HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => open === 6, 'there is room for all')
  t.equal(await underWay(), 0)
  for (const socket of sockets) socket.destroy()
  await eventually(() => closed === 6, 'all are closed')
  t.equal(await underWay(), 0, 'nor counted twice')
})

t.test('an event loop that does not keep up is told', async (t) => {
  const { app, status } = await start(t, { delay: 50, concurrency: 100 })
  const block = () => {
    const until = performance.now() + 700
    while (performance.now() < until);
  }
  const turns = setInterval(block, 1)
  t.teardown(() => { clearInterval(turns) })
  await eventually(async () => await status('/bulk') === 503, 'bulk is turned away', 20_000)
  t.equal(await status('/probe'), 200)
  clearInterval(turns)
  await eventually(async () => await status('/bulk') === 200, 'and let in again')
  t.match(await app.metrics.render(), /larder_event_loop_sustained_delay_seconds /)
})
