import type { StoredEntry } from '../entry.js'
import type { SharedBackend, WriteOutcome } from './backend.js'

/** What is told apart of the operations on a backend. */
export type ObservedOperation = 'get' | 'get_many' | 'set' | 'fill' | 'replace' | 'delete' | 'expire' | 'invalidate'

/** Runs an operation, and learns by `outcomeOf` what came of it: `hit`, `miss`, `stored`, `deleted`, `superseded` and the like. */
export type Observer = <T>(operation: ObservedOperation, run: () => Promise<T>, outcomeOf: (result: T) => string) => Promise<T>

/**
 * The backend, with `observe` around each operation that a caller waits for: each leaves the process. What memory answers never comes here. Of what
 * is read and written nothing is told.
 */
export function observed<Backend extends SharedBackend> (backend: Backend, observe: Observer): Backend {
  const { get, getMany, set, fill, replace, delete: remove, expire, invalidate } = backend
  const written = (outcome: WriteOutcome): string => typeof outcome === 'object' ? 'stored' : outcome
  // On the object itself, as what it does by itself has private state.
  return Object.assign<Backend, Pick<SharedBackend, 'get' | 'getMany' | 'set' | 'fill' | 'replace' | 'delete' | 'expire' | 'invalidate'>>(backend, {
    get: async (...args) => await observe('get', async () => await get.apply(backend, args), found),
    getMany: async (...args) => await observe('get_many', async () => await getMany.apply(backend, args), someFound),
    set: async (...args) => await observe('set', async () => await set.apply(backend, args), written),
    fill: async (...args) => await observe('fill', async () => await fill.apply(backend, args), written),
    replace: async (...args) => await observe('replace', async () => await replace.apply(backend, args), written),
    delete: async (...args) => await observe('delete', async () => await remove.apply(backend, args), (outcome) => typeof outcome === 'object' ? outcome.existed ? 'deleted' : 'absent' : outcome),
    expire: async (...args) => await observe('expire', async () => await expire.apply(backend, args), written),
    invalidate: async (...args) => await observe('invalidate', async () => await invalidate.apply(backend, args), () => 'in force')
  })
}

const found = (entry: StoredEntry | undefined): string => entry === undefined ? 'miss' : 'hit'

function someFound (entries: readonly (StoredEntry | undefined)[]): string {
  const missing = entries.filter((entry) => entry === undefined).length
  return missing === 0 ? 'hit' : missing === entries.length ? 'miss' : 'partial'
}
