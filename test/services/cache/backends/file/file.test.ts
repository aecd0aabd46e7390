import t from 'tap'
import { join } from 'node:path'
import type { Cache } from '../../../../../services/cache/cache.js'
import { decode } from '../../../../../services/cache/encoding.js'
import { eventually, openFileCache } from '../../../../support/caches.js'
import type { Owner } from '../../../../support/servers.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { entryOf as entry } from '../../setup.js'

const NS = 'default'
const valueIn = async (cache: Cache, key: string): Promise<unknown> => {
  const found = await cache.peek(NS, key)
  return found === undefined ? undefined : decode(found.value)
}
function newFolder (owner: Owner): string {
  return join(temporaryFolder(owner), 'data', 'cache')
}

t.test('what is written is there after reopening', async (t) => {
  const folder = newFolder(t)
  const first = await openFileCache(t, folder)
  await first.cache.set(NS, 'small', entry({ n: 1 }, { tags: ['x'], metadata: '{"tags":["x"]}', ttl: 60 }))
  await first.cache.set(NS, 'large', entry('x'.repeat(100_000), { ttl: 0 }))
  await first.cache.set(NS, 'deleted', entry(1))
  await first.cache.set(NS, 'tagged', entry(1, { tags: ['gone'] }))
  await first.cache.delete(NS, 'deleted')
  t.equal(await first.cache.invalidate(NS, { tags: ['gone'] }), 1)
  for (let i = 0; i < 3; i++) await first.cache.get(NS, 'small')
  const before = await first.cache.peek(NS, 'small')
  await first.cache.close()
  const second = await openFileCache(t, folder)
  t.strictSame(await second.cache.peek(NS, 'small'), before)
  t.equal(await valueIn(second.cache, 'large'), 'x'.repeat(100_000))
  t.equal(await valueIn(second.cache, 'deleted'), undefined)
  t.equal(await valueIn(second.cache, 'tagged'), undefined)
  t.equal((await second.cache.statistics()).items, 2)
  await second.cache.set(NS, 'brief', entry(1, { ttl: 0.05 }))
  await eventually(async () => await valueIn(second.cache, 'brief') === undefined, 'it expires')
})
