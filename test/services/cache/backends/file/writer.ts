/*
 * A process that keeps writing to the folder given, until it is killed. It prints a line for each thing that was answered: `set` or
 * `delete` or `invalidate`, and the key. Keys are written once, and some deleted later.
 */
import { Cache } from '../../../../../services/cache/cache.js'
import { FileBackend } from '../../../../../services/cache/backends/file/file.js'
import { monotonicNow } from '../../../../../services/cache/clock.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { SharedStore } from '../../../../../services/cache/stores/shared-store.js'
import { entryOf } from '../../setup.js'

const [folder = '', round = ''] = process.argv.slice(2)
const now = monotonicNow()
const limits = { ...DEFAULT_LIMITS, maxItems: 1_000_000, maxMemory: 2 ** 30 }
const store = new SharedStore({ backend: await FileBackend.open({ folder, now, limits }), now, limits: DEFAULT_LIMITS })
await store.open()
const cache = new Cache({ store, now, limits })
process.stdout.write('open\n')

/** Ten at a time: what is written together shares a flush. */
await Promise.all(Array.from({ length: 10 }, async (_, lane) => {
  for (let number = 0; ; number++) {
    const key = `${round}:${lane}:${number}`
    await cache.set('default', key, entryOf(key.repeat(number % 7 === 0 ? 500 : 5), { ttl: 0, tags: [`tag:${key}`] }))
    process.stdout.write(`set ${key}\n`)
    if (number % 3 === 0) {
      await cache.delete('default', key)
      process.stdout.write(`delete ${key}\n`)
    } else if (number % 50 === 1) {
      await cache.outdate({ tags: [`tag:${key}`] })
      process.stdout.write(`invalidate ${key}\n`)
    }
  }
}))
