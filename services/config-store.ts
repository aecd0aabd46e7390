import { isDeepStrictEqual } from 'node:util'
import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { RunTimeSettings } from '../schemas/config.js'
import type { Database } from './database.js'
import { InvalidInputError } from './errors.js'

export type SettingName = keyof RunTimeSettings
export type SettingChanges = Partial<RunTimeSettings>

export interface ConfigStoreOptions {
  database: Pick<Database, 'query' | 'transaction'>
  /** Describes every setting; holds the defaults. */
  schema: TObject
  /** First values that win over the schema's defaults: the environment's. */
  initial?: SettingChanges
  /** Milliseconds between looks for other processes' changes; undefined when there can be no other process. */
  pollInterval?: number | undefined
  log: { warn (detail: object, message: string): void, info (message: string): void }
}

/**
 * The settings that may change while running: a table of keys and values over the first values, read from memory, written
 * to PostgreSQL. Every value written gets the next revision. While the database is away the last values hold.
 */
export class ConfigStore {
  #values: RunTimeSettings
  #revision = 0
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> = Promise.resolve()
  #away = false
  #closed = false
  readonly #first: RunTimeSettings
  readonly #rejected = new Set<string>()
  readonly #listeners = new Set<(changes: SettingChanges) => void>()
  readonly #options: ConfigStoreOptions

  constructor (options: ConfigStoreOptions) {
    this.#options = options
    this.#first = Object.freeze({ ...Value.Create(options.schema) as RunTimeSettings, ...options.initial })
    this.#values = this.#first
  }

  get<Name extends SettingName> (name: Name): RunTimeSettings[Name] {
    return this.#values[name]
  }

  /** Every setting with its value now; a snapshot. */
  all (): Readonly<RunTimeSettings> {
    return this.#values
  }

  /** Of the last change that this process has seen; 0 before the first. */
  get revision (): number {
    return this.#revision
  }

  /**
   * Stores all the changes, or none, and resolves once this process lives by them. Throws InvalidInputError for a name
   * or a value that the schema does not have.
   */
  async put (changes: SettingChanges): Promise<void> {
    this.#check(changes)
    await this.update(() => changes)
  }

  /**
   * The same for changes that depend on what is stored: `decide` gets the settings as they are at that moment in the database, and
   * no other change, of this process or another, comes in between. When it throws, nothing is stored.
   */
  async update (decide: (settings: Readonly<RunTimeSettings>) => SettingChanges): Promise<void> {
    await this.#options.database.transaction(async (transaction) => {
      // Revisions are committed in order, so that who has seen one has seen all before it.
      await transaction.query('LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE')
      const { rows } = await transaction.query<Row>('SELECT key, value, revision FROM settings')
      const changes = decide(this.#settingsIn(rows))
      this.#check(changes)
      await transaction.query({
        text: `
          INSERT INTO settings (key, value) SELECT key, value FROM jsonb_each($1::jsonb)
          ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_at = now()`,
        values: [JSON.stringify(changes)]
      })
    })
    await this.load()
  }

  /** Calls `listener` after each change, this process's or another's, with what is different. Answers how to stop it. */
  on (listener: (changes: SettingChanges) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads the table. One reading at a time, in the order asked, so that an older one never wins. */
  load (): Promise<void> {
    const reading = this.#reading.catch(() => {}).then(async () => this.#read())
    this.#reading = reading
    return reading
  }

  /** Begins to look for other processes' changes, when there can be any. */
  watch (): void {
    const { pollInterval } = this.#options
    if (pollInterval === undefined || this.#closed) return
    const again = () => { this.watch() }
    this.#timer = setTimeout(() => { this.#poll().then(again, again) }, pollInterval).unref()
  }

  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#listeners.clear()
    await this.#reading.catch(() => {})
  }

  async #poll (): Promise<void> {
    const { database, log } = this.#options
    try {
      const { rows: [newest] } = await database.query<Row>('SELECT coalesce(max(revision), 0) AS revision FROM settings')
      if (Number(newest?.revision) !== this.#revision) await this.load()
      if (this.#away) log.info('the settings can be read again')
      this.#away = false
    } catch (error) {
      if (!this.#away && !this.#closed) log.warn({ err: error }, 'the settings cannot be read: the last values hold')
      this.#away = true
    }
  }

  async #read (): Promise<void> {
    const { rows } = await this.#options.database.query<Row>('SELECT key, value, revision FROM settings')
    const before: Record<string, unknown> = this.#values
    this.#values = this.#settingsIn(rows)
    const changed = Object.entries(this.#values).filter(([name, value]) => !isDeepStrictEqual(before[name], value))
    this.#revision = rows.reduce((newest, { revision }) => Math.max(newest, Number(revision)), 0)
    if (changed.length > 0) this.#announce(Object.fromEntries(changed))
  }

  #settingsIn (rows: readonly Row[]): RunTimeSettings {
    const settings: Record<string, unknown> = { ...this.#first }
    for (const row of rows) {
      const fault = this.#faultOf(row.key, row.value)
      if (fault === undefined) settings[row.key] = row.value
      else this.#reject(row, fault)
    }
    return Object.freeze(settings) as RunTimeSettings
  }

  #check (changes: SettingChanges): void {
    for (const [name, value] of Object.entries(changes)) {
      const fault = this.#faultOf(name, value)
      if (fault !== undefined) throw new InvalidInputError(fault)
    }
  }

  #announce (changes: SettingChanges): void {
    for (const listener of this.#listeners) {
      try {
        listener(changes)
      } catch (error) {
        this.#options.log.warn({ err: error }, 'a change of settings could not be applied')
      }
    }
  }

  /** Says once what is wrong with a stored value, which an older or a newer release may have written. */
  #reject ({ key, revision }: Row, fault: string): void {
    const id = `${key}@${revision}`
    if (this.#rejected.has(id)) return
    this.#rejected.add(id)
    this.#options.log.warn({ setting: key }, `a stored setting is left out: ${fault}`)
  }

  #faultOf (name: string, value: unknown): string | undefined {
    const schema = Object.hasOwn(this.#options.schema.properties, name) ? this.#options.schema.properties[name] : undefined
    if (schema === undefined) return `${name} is not a setting`
    return Value.Check(schema, value) ? undefined : `${name} must be ${expected(schema)}`
  }
}

interface Row { key: string, value: unknown, revision: string }

/** In words that follow "must be". */
function expected (schema: TSchema): string {
  if (KindGuard.IsUnion(schema) && schema.anyOf.some((each) => KindGuard.IsNull(each))) return `null or ${schema.anyOf.filter((each) => !KindGuard.IsNull(each)).map(expected).join(' or ')}`
  if (KindGuard.IsUnion(schema)) return `one of ${schema.anyOf.map((word) => String(word['const'])).join(', ')}`
  if (KindGuard.IsRecord(schema)) return 'an object that its schema allows'
  if (KindGuard.IsBoolean(schema)) return 'true or false'
  return `${KindGuard.IsInteger(schema) ? 'a whole number' : 'a number'} from ${schema['minimum']} to ${schema['maximum']}`
}
