import t from 'tap'
import { Health } from '../../services/health.js'
import memcached from '../../plugins/memcached.js'
import { bare } from '../plugins/bare.js'

t.test('parts', async (t) => {
  let now = 0
  let checks = 0
  let fails = false
  const health = new Health({ now: () => now, lifetime: 1000 })
  health.disable('events')
  health.add('postgres', () => {
    checks++
    if (fails) throw new Error('down')
  })
  health.add('redis', async () => { throw new Error('down') }, { required: false })
  t.equal((await health.readiness()).status, 'starting')
  health.started()
  t.match(await health.readiness(), {
    status: 'ready',
    parts: {
      postgres: { status: 'up', required: true, latency: Number },
      redis: { status: 'down', required: false },
      events: { status: 'disabled', required: false }
    }
  }, 'what is not required may be down')
  fails = true
  t.equal(await health.healthy(), true, 'an answer stands for a while')
  t.equal(checks, 1)
  now = 1000
  t.strictSame(await Promise.all([health.healthy(), health.healthy()]), [false, false])
  t.equal(checks, 2, 'those who ask together share a check')
  t.equal((await health.readiness()).status, 'degraded')
  t.equal(health.known.isReady, true, 'what is cached is served on')
  health.stopping()
  t.equal((await health.readiness()).status, 'stopping')
  t.equal(health.known.isReady, false)
  health.started()
  t.equal((await health.readiness()).status, 'stopping', 'there is no way back')
})

t.test('a part that hangs is down, and holds nobody up', async (t) => {
  const health = new Health({ deadline: 5 })
  health.add('hung', () => new Promise(() => {}))
  health.add('fine', () => 'yes')
  t.equal(await health.healthy(), false)
  t.match((await health.readiness()).parts, { hung: { status: 'down' }, fine: { status: 'up' } })
})

t.test('the routes tell a probe what to do', async (t) => {
  const app = await bare()
  await app.register(memcached, { url: 'memcached://127.0.0.1:1', required: false })
  let up = true
  app.health.add('postgres', () => { if (!up) throw new Error('down') })
  await app.ready()
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json(), { status: 'ready', parts: { postgres: { status: 'up' }, memcached: { status: 'down', required: false } } })
  t.same((await app.inject('/health')).json(), { status: 'healthy' })
  t.same((await app.inject('/health/live')).json(), { status: 'alive' })
  t.equal((await app.inject('/health/')).statusCode, 200)
  await app.close()

  const broken = await bare()
  broken.health.add('postgres', () => { if (!up) throw new Error('down') })
  await broken.ready()
  up = false
  const unhealthy = await broken.inject('/health')
  t.equal(unhealthy.statusCode, 503)
  t.same(unhealthy.json(), { status: 'unhealthy' })
  t.equal(unhealthy.headers['retry-after'], '1')
  const degraded = await broken.inject('/health/ready')
  t.equal(degraded.statusCode, 200, 'a balancer goes on sending what is served without it')
  t.match(degraded.json(), { status: 'degraded', parts: { postgres: { status: 'down', required: true } } })
  t.equal((await broken.inject('/health/live')).statusCode, 200, 'a restart would not help')
  await broken.close()
})

t.test('readiness ends when shutdown begins', async (t) => {
  const app = await bare()
  let address = ''
  app.addHook('preClose', async () => {
    const { status } = await fetch(`${address}/health/live`)
    t.equal(status, 200)
    const answer = await fetch(`${address}/health/ready`)
    t.equal(answer.status, 503)
    t.match(await answer.json(), { status: 'stopping' })
  })
  address = await app.listen({ host: '127.0.0.1', port: 0 })
  t.equal((await fetch(`${address}/health/ready`)).status, 200)
  await app.close()
})
