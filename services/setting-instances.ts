import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { ConfigStore } from './config-store.js'
import type { Database } from './database.js'

export interface SettingInstancesOptions {
  database: Pick<Database, 'query'>
  store: Pick<ConfigStore, 'revision' | 'on'>
  log: { warn (detail: object, message: string): void }
  /** Milliseconds between two signs of life; default 5000. After three without one a process counts as gone. */
  interval?: number
}

/** A process, and the settings that it lives by. */
export interface SettingInstance {
  id: string
  host: string
  pid: number
  /** The last change that has taken effect there. */
  revision: number
  startedAt: Date
  seenAt: Date
}

/** Tells, and finds out, which revision of the settings each process lives by. */
export class SettingInstances {
  /** Of this process. */
  readonly id = randomUUID()
  readonly #options: SettingInstancesOptions
  readonly #interval: number
  readonly #stop: () => void
  #timer: NodeJS.Timeout | undefined
  #telling: Promise<void> | undefined
  #isAway = false

  constructor (options: SettingInstancesOptions) {
    this.#options = options
    this.#interval = options.interval ?? 5000
    this.#stop = options.store.on(() => { void this.#tell() })
  }

  /** Resolves when the first sign of life is given. */
  async start (): Promise<void> {
    await this.#tell()
    this.#timer = setInterval(() => { void this.#tell() }, this.#interval).unref()
  }

  /** Those that gave a sign of life lately, this one too, the longest there first. */
  async list (): Promise<SettingInstance[]> {
    await this.#tell()
    const { rows } = await this.#options.database.query<Row>({
      text: `
        SELECT id, host, pid, revision, started_at, seen_at FROM setting_instances
        WHERE seen_at > now() - make_interval(secs => $1) ORDER BY started_at, id`,
      values: [this.#patience]
    })
    return rows.map(({ id, host, pid, revision, started_at: startedAt, seen_at: seenAt }) => ({ id, host, pid, revision: Number(revision), startedAt, seenAt }))
  }

  /** Takes leave, as far as the database is there. */
  async close (): Promise<void> {
    this.#stop()
    clearInterval(this.#timer)
    await this.#telling
    // Whoever reads the list leaves out who says nothing any more.
    await this.#options.database.query({ text: 'DELETE FROM setting_instances WHERE id = $1', values: [this.id] }, { attempts: 1 }).catch(() => {})
  }

  /** Seconds. */
  get #patience (): number {
    return 3 * this.#interval / 1000
  }

  /** One at a time; what changes meanwhile is told afterwards. */
  async #tell (): Promise<void> {
    while (this.#telling !== undefined) await this.#telling
    this.#telling = this.#write().finally(() => { this.#telling = undefined })
    await this.#telling
  }

  async #write (): Promise<void> {
    const { database, store, log } = this.#options
    try {
      await database.query({
        text: `
          WITH gone AS (DELETE FROM setting_instances WHERE seen_at < now() - make_interval(secs => $5) AND id <> $1)
          INSERT INTO setting_instances (id, host, pid, revision) VALUES ($1, $2, $3, $4)
          ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, seen_at = now()`,
        values: [this.id, hostname(), process.pid, store.revision, this.#patience]
      }, { attempts: 1 })
      this.#isAway = false
    } catch (err) {
      if (!this.#isAway) log.warn({ err }, 'it cannot be told by which settings this process lives')
      this.#isAway = true
    }
  }
}

interface Row { id: string, host: string, pid: number, revision: string, started_at: Date, seen_at: Date }
