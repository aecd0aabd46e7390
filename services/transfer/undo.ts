import { setTimeout as delay } from 'node:timers/promises'
import createError from '@fastify/error'
import type { Cache } from '../cache/cache.js'
import type { Caller } from '../cache/caller.js'
import { type Entry, graceOf, type NewEntry } from '../cache/entry.js'
import { isOutage } from '../cache/faults.js'
import { encodeText } from '../cache/encoding.js'
import type { Spool } from './spool.js'

/** The backend went away in the middle of an import, and stayed away. */
export const HalfImportedError = createError<[seconds: number]>(
  'ERR_BACKEND_UNAVAILABLE', 'The backend went away in the middle of the import, and what was stored by then could not be taken back within %d s: ' +
  'it is still there. Import the same file again once the backend is back.', 503)

/** How long taking back is tried, and how often, in milliseconds. */
const PATIENCE = 10_000
const INTERVAL = 200

/** One key as it was: its entry, or null for none. */
interface Before { namespace: string, key: string, entry: Omit<NewEntry, 'value'> & { value: string, expiresAt: number | null } | null }

/** What an import wrote over, on disk, so that it can be put back. */
export class Undo {
  #cache: Cache
  #spool: Spool

  constructor (cache: Cache, spool: Spool) {
    this.#cache = cache
    this.#spool = spool
  }

  /** Keeps what is there now under these keys. */
  async remember (places: readonly { namespace: string, key: string }[], caller?: Caller): Promise<void> {
    const before = await Promise.all(places.map(async ({ namespace, key }): Promise<Before> => {
      const entry = await this.#cache.peek(namespace, key, false, caller)
      return { namespace, key, entry: entry === undefined ? null : kept(entry) }
    }))
    await this.#spool.append(Buffer.from(before.map((each) => `${JSON.stringify(each)}\n`).join('')))
  }

  /**
   * Puts everything back as it was.
   * @param cause why; thrown by the caller when this succeeds
   * @throws HalfImportedError when the backend stays away
   */
  async takeBack (cause: unknown): Promise<void> {
    const deadline = performance.now() + PATIENCE
    // First what was not there, since a full backend takes nothing before something has gone.
    await this.#each((before) => before.entry === null, async ({ namespace, key }) => { await this.#cache.delete(namespace, key) }, deadline, cause)
    await this.#each((before) => before.entry !== null, async ({ namespace, key, entry }) => {
      const { value, expiresAt, ...facts } = entry as NonNullable<Before['entry']>
      const ttl = expiresAt === null ? 0 : Math.max(0.001, (expiresAt - this.#cache.now) / 1000)
      await this.#cache.set(namespace, key, { ...facts, ttl, value: encodeText(value) })
    }, deadline, cause)
  }

  async close (): Promise<void> { await this.#spool.close() }

  async #each (concerns: (before: Before) => boolean, act: (before: Before) => Promise<void>, deadline: number, cause: unknown): Promise<void> {
    // A key that the file names twice was written over twice: the first is how it was.
    const done = new Set<string>()
    for await (const before of this.#lines()) {
      const name = `${before.namespace}:${before.key}`
      if (done.has(name)) continue
      done.add(name)
      if (concerns(before)) await insistently(async () => { await act(before) }, deadline, cause)
    }
  }

  async * #lines (): AsyncGenerator<Before> {
    let rest = Buffer.alloc(0)
    for await (const chunk of this.#spool.read()) {
      rest = Buffer.concat([rest, chunk])
      for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
        yield JSON.parse(rest.toString('utf8', 0, end)) as Before
        rest = rest.subarray(end + 1)
      }
    }
  }
}

function kept (entry: Entry): NonNullable<Before['entry']> {
  const { value, dataType, tags, metadata, strategy, expiresAt } = entry
  // JSON has no Infinity: never is null.
  return { value: value.toString(), dataType, tags, metadata, strategy, expiresAt, grace: graceOf(entry) / 1000 }
}

async function insistently (act: () => Promise<void>, deadline: number, cause: unknown): Promise<void> {
  for (;;) {
    try {
      await act()
      return
    } catch (error) {
      if (!isOutage(error)) throw error
      if (performance.now() > deadline) throw Object.assign(new HalfImportedError(PATIENCE / 1000), { cause })
      await delay(INTERVAL)
    }
  }
}
