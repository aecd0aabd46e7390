import { Redis } from 'ioredis'
import t from 'tap'
import { streamLag } from '../../services/events/stream-lag.js'
import { redisUrl } from '../support/servers.js'

t.test('how late a group is goes by the oldest message that it has not done', async (t) => {
  const redis = new Redis(await redisUrl(t))
  t.teardown(() => { redis.disconnect() })
  const lag = async () => await streamLag(redis, 'events', 'audit')
  t.equal(await lag(), 0, 'without a stream')
  const now = Number((await redis.time())[0]) * 1000
  await redis.xadd('events', `${now - 60_000}-0`, 'event', '1')
  t.equal(await lag(), 0, 'without the group')
  await redis.xgroup('CREATE', 'events', 'audit', '0')
  await redis.xgroup('CREATE', 'events', 'another', '0')
  t.ok(await lag() >= 60, 'what nobody has taken')
  await redis.xreadgroup('GROUP', 'audit', 'worker', 'COUNT', 1, 'STREAMS', 'events', '>')
  await redis.xadd('events', `${now - 30_000}-0`, 'event', '2')
  t.ok(await lag() >= 60, 'what was taken and not done')
  await redis.xack('events', 'audit', `${now - 60_000}-0`)
  const late = await lag()
  t.ok(late >= 30 && late < 60, `then the next: ${late} s`)
  await redis.xreadgroup('GROUP', 'audit', 'worker', 'COUNT', 1, 'STREAMS', 'events', '>')
  await redis.xack('events', 'audit', `${now - 30_000}-0`)
  t.equal(await lag(), 0, 'all done')
  t.ok(await streamLag(redis, 'events', 'another') >= 60, 'others are as late as they are')
})
