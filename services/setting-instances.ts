import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { ConfigStore } from './config-store.js'
import type { Database } from './database.js'

export interface SettingInstancesOptions {
  database: Pick<Database, 'query'>
  store: Pick<ConfigStore, 'revision' | 'onRevision'>
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

/** Another process that answers requests. */
export type Neighbour = Pick<SettingInstance, 'id' | 'host' | 'pid'>

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
  #serves = false
  #neighbours: readonly Neighbour[] = []
  #onNeighbour: (neighbour: Neighbour) => void = () => {}

  constructor (options: SettingInstancesOptions) {
    this.#options = options
    this.#interval = options.interval ?? 5000
    this.#stop = options.store.onRevision(() => { void this.#tell() })
  }

  /** Resolves when the first sign of life is given. */
  async start (): Promise<void> {
    await this.#tell()
    this.#timer = setInterval(() => { void this.#tell() }, this.#interval).unref()
  }

  /** This one answers requests from now on. */
  async serves (): Promise<void> {
    this.#serves = true
    await this.#tell()
  }

  /** The others that answer requests from the same database, as of the last sign of life. Who died before this one began is none. */
  get neighbours (): readonly Neighbour[] { return this.#neighbours }

  /** @param met is called once for each, when it is first seen */
  onNeighbour (met: (neighbour: Neighbour) => void): void {
    this.#onNeighbour = met
    this.#neighbours.forEach(met)
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
      const { rows } = await database.query<Neighbour>({
        text: `
          WITH gone AS (DELETE FROM setting_instances WHERE seen_at < now() - make_interval(secs => $5) AND id <> $1),
          told AS (
            INSERT INTO setting_instances (id, host, pid, revision, serves) VALUES ($1, $2, $3, $4, $6)
            ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, serves = excluded.serves, seen_at = now())
          SELECT id, host, pid FROM setting_instances
          WHERE serves AND id <> $1 AND seen_at > now() - make_interval(secs => $5) AND seen_at > (SELECT started_at FROM setting_instances WHERE id = $1)`,
        values: [this.id, hostname(), process.pid, store.revision, this.#patience, this.#serves]
      }, { attempts: 1 })
      this.#isAway = false
      const known = new Set(this.#neighbours.map(({ id }) => id))
      this.#neighbours = rows
      for (const neighbour of rows) if (!known.has(neighbour.id)) this.#onNeighbour(neighbour)
    } catch (err) {
      if (!this.#isAway) log.warn({ err }, 'it cannot be told by which settings this process lives')
      this.#isAway = true
    }
  }
}

interface Row { id: string, host: string, pid: number, revision: string, started_at: Date, seen_at: Date }
