import t from 'tap'
import { FileBackend } from '../../../../services/cache/backends/file/file.js'
import { Cache } from '../../../../services/cache/cache.js'
import { monotonicNow } from '../../../../services/cache/clock.js'
import { BackendUnavailableError } from '../../../../services/cache/errors.js'
import { DEFAULT_LIMITS } from '../../../../services/cache/limits.js'
import { SharedStore } from '../../../../services/cache/stores/shared-store.js'
import type { Owner } from '../../../support/servers.js'
import { temporaryFolder } from '../../../support/temporary-folder.js'
import { entryOf } from '../setup.js'

const NS = 'default'

/** A cache whose backend can be told neither deletions nor invalidations while it is away. */
async function open (owner: Owner, folder: string) {
  const now = monotonicNow()
  const backend = await FileBackend.open({ folder, now, limits: DEFAULT_LIMITS })
  const server = { isAway: false }
  const asked = <A extends unknown[], R>(ask: (...given: A) => Promise<R>) => async (...given: A): Promise<R> => {
    if (server.isAway) throw new BackendUnavailableError('away')
    return await ask(...given)
  }
  backend.delete = asked(backend.delete.bind(backend))
  backend.invalidate = asked(backend.invalidate.bind(backend))
  const store = new SharedStore({ backend, now, limits: DEFAULT_LIMITS })
  await store.open()
  const cache = new Cache({ store, now, limits: DEFAULT_LIMITS })
  owner.teardown(() => cache.close())
  return { cache, server }
}

void t.test('what is owed when a process ends is paid before it does', async (t) => {
  const folder = temporaryFolder(t)
  const { cache, server } = await open(t, folder)
  for (const key of ['deleted', 'tagged', 'kept']) await cache.set(NS, key, entryOf(key, { tags: key === 'tagged' ? ['t'] : [] }))
  server.isAway = true
  await cache.forget('deleted')
  await cache.outdate({ tags: ['t'] })
  for (const key of ['deleted', 'tagged']) t.equal(await cache.peek(NS, key), undefined, 'it holds here at once')
  t.strictSame((await cache.list(NS, { limit: 10 })).entries.map(({ key }) => key), ['kept'])
  server.isAway = false
  await cache.close()
  const again = await open(t, folder)
  t.strictSame((await again.cache.list(NS, { limit: 10 })).entries.map(({ key }) => key), ['kept'])
})

void t.test('more deletions than are remembered one by one are owed as everything in their namespaces', async (t) => {
  const { cache, server } = await open(t, temporaryFolder(t))
  for (const key of ['other', 'first']) await cache.set(NS, key, entryOf(key))
  await cache.set('elsewhere', 'kept', entryOf(1))
  server.isAway = true
  for (let i = 0; i < 10_001; i++) await cache.forget(i === 0 ? 'first' : `k${i}`)
  for (const key of ['first', 'other']) t.equal(await cache.peek(NS, key), undefined)
  t.ok(await cache.peek('elsewhere', 'kept'))
})
