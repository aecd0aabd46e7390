import { sizeOf } from '../entry.js'
import type { Outline, SharedBackend } from './backend.js'

/** Every entry of a namespace (of all, when undefined) in outline: from the backend's index where it has one, else by reading them. */
export async function * outlinesIn (backend: SharedBackend, namespace: string | undefined): AsyncGenerator<Outline[]> {
  if (backend.outline !== undefined) {
    yield * backend.outline(namespace)
    return
  }
  for await (const entries of backend.scan(namespace)) {
    // The very objects: a backend may know by them what it scanned.
    yield entries.map((entry) => Object.assign(entry, { size: sizeOf(entry.key, { length: entry.valueLength }, entry.tags, entry.metadata) }))
  }
}
