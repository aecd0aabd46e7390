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
  const around = <Given extends unknown[], Result>(operation: ObservedOperation, method: (...given: Given) => Promise<Result>, outcomeOf: (result: Result) => string) =>
    async (...given: Given): Promise<Result> => await observe(operation, async () => await method(...given), outcomeOf)
  // On the object itself, as what it does by itself has private state.
  return Object.assign(backend, {
    get: around('get', backend.get.bind(backend), found),
    getMany: around('get_many', backend.getMany.bind(backend), someFound),
    set: around('set', backend.set.bind(backend), written),
    fill: around('fill', backend.fill.bind(backend), written),
    replace: around('replace', backend.replace.bind(backend), written),
    delete: around('delete', backend.delete.bind(backend), deleted),
    expire: around('expire', backend.expire.bind(backend), written),
    invalidate: around('invalidate', backend.invalidate.bind(backend), () => 'in force')
  } satisfies Pick<SharedBackend, 'get' | 'getMany' | 'set' | 'fill' | 'replace' | 'delete' | 'expire' | 'invalidate'>)
}

const written = (outcome: WriteOutcome): string => typeof outcome === 'object' ? 'stored' : outcome
const deleted = (outcome: WriteOutcome): string => typeof outcome === 'object' ? outcome.existed ? 'deleted' : 'absent' : outcome
const found = (entry: StoredEntry | undefined): string => entry === undefined ? 'miss' : 'hit'

function someFound (entries: readonly (StoredEntry | undefined)[]): string {
  const missing = entries.filter((entry) => entry === undefined).length
  return missing === 0 ? 'hit' : missing === entries.length ? 'miss' : 'partial'
}
