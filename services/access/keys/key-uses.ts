import type { Queryable } from '../../database.js'

/** Milliseconds: a key's last use is written at most that often, and known to that precision. */
const PRECISION = 60_000
/** Keys that are remembered as noted; beyond that all are forgotten, and noted once more. */
const MAX_NOTED = 20_000

export interface KeyUsesOptions {
  database: Queryable
  /** Milliseconds between writes, each of all keys together. Default 1000. */
  interval?: number
  log: { debug (detail: object, message: string): void }
}

/** When each API key was last used: noted in memory by the request, written later, one statement for all. */
export class KeyUses {
  readonly #options: KeyUsesOptions
  /** When each was noted last, milliseconds since 1970; by the name of its bearer. */
  readonly #noted = new Map<string, number>()
  #unwritten = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined

  constructor (options: KeyUsesOptions) {
    this.#options = options
  }

  /** @param bearer `key:` and the id */
  note (bearer: string, at: number): void {
    const last = this.#noted.get(bearer)
    if (last !== undefined && at - last < PRECISION) return
    if (this.#noted.size >= MAX_NOTED) this.#noted.clear()
    this.#noted.set(bearer, at)
    this.#unwritten.set(bearer, at)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.write()
    }, this.#options.interval ?? 1000).unref()
  }

  /** Writes what was noted; when the database is away, with the next write. */
  async write (): Promise<void> {
    const uses = this.#unwritten
    if (uses.size === 0) return
    this.#unwritten = new Map()
    try {
      // Another process may have written a moment ago.
      await this.#options.database.query({
        text: `UPDATE api_keys SET last_used_at = used.at FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
          WHERE api_keys.id = used.id AND (last_used_at IS NULL OR last_used_at <= used.at - $3 * interval '1 millisecond')`,
        values: [[...uses.keys()].map((bearer) => bearer.slice('key:'.length)), [...uses.values()].map((at) => new Date(at).toISOString()), PRECISION]
      })
    } catch (error) {
      this.#options.log.debug({ err: error }, 'The last uses of API keys could not be written yet')
      for (const [bearer, at] of uses) if (!this.#unwritten.has(bearer)) this.#unwritten.set(bearer, at)
    }
  }

  async close (): Promise<void> {
    clearTimeout(this.#timer)
    await this.#writing
    await this.write()
  }
}
