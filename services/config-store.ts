import { isDeepStrictEqual } from 'node:util'
import createError from '@fastify/error'
import type { TObject, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { RunTimeSettings } from '../schemas/config.js'
import type { Call, Database, Queryable } from './database.js'
import { invalidField, InvalidInputError, NotFoundError } from './errors.js'
import type { Recording } from './idempotency/recording.js'
import { SettingCheck, type SettingParsers } from './setting-check.js'
import { settingSchemaOf, type SettingSchema } from './setting-schema.js'

export type SettingName = keyof RunTimeSettings
export type SettingChanges = Partial<RunTimeSettings>

export interface ConfigStoreOptions {
  database: Pick<Database, 'query' | 'transaction'>
  /** Describes every setting; holds the defaults. */
  schema: TObject
  /** First values that win over the schema's defaults: the environment's. */
  initial?: SettingChanges
  /** Hold values that fit their schema to more than it can say: each throws what is wrong, in words that follow the name. */
  parsers?: SettingParsers
  /** Milliseconds between looks for other processes' changes; undefined when there can be no other process. */
  pollInterval?: number | undefined
  log: { warn (detail: object, message: string): void, info (message: string): void }
}

type Action = 'set' | 'deleted' | 'rolled_back'

export const SettingChangedError = createError<[name: string]>(
  'ERR_PRECONDITION_FAILED', '%s has changed since it was read: read it again, and decide again.', 412)

/** Holds settings, as they would be, to each other; `changed` names those that are different. */
export type Rule = (settings: Readonly<RunTimeSettings>, changed: readonly string[]) => void

export interface ChangeOptions {
  /** Who makes the change, for the history. */
  by: string
  /** Whether the change may be made to a setting at this revision; 0 is one that is not stored. Absent: to any. */
  condition?: (revision: number) => boolean
  /** Checks everything, and stores nothing. */
  dryRun?: boolean
  /** Called in the transaction of the change. */
  recording?: Recording<SettingState> | undefined
  /** On whose behalf it is made. */
  call?: Call
}

/** One of several changes that are made together. */
export interface SettingEdit {
  name: string
  /** undefined: it is taken out of the store. */
  value: unknown
  /** Whether it may be made to a setting at this revision; 0 is one that is not stored. */
  condition: (revision: number) => boolean
}

/** A setting with where its value comes from. */
export interface SettingState {
  name: SettingName
  value: unknown
  source: 'default' | 'environment' | 'store'
  /** Of its last change; 0 while it is not stored. */
  revision: number
  default: unknown
  /** What holds while nothing is stored: the environment's, or the default. */
  first: unknown
  schema: SettingSchema
  description: string
  changedAt?: Date
  changedBy?: string
}

/** One change; a value of undefined took the setting out of the store. */
export interface SettingChange { revision: number, key: string, value: unknown, action: Action, changedAt: Date, changedBy: string }

export interface HistoryQuery {
  name?: string
  before?: number
  after?: number
  limit: number
}

/**
 * The settings that may change while running: a table of keys and values over the first values, read from memory, written
 * to PostgreSQL. Every value written gets the next revision. While the database is away the last values hold.
 */
export class ConfigStore {
  #values: RunTimeSettings
  #revision = 0
  #rows: ReadonlyMap<string, Row> = new Map()
  readonly #rules: Rule[] = []
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> = Promise.resolve()
  #away = false
  #closed = false
  readonly #first: RunTimeSettings
  readonly #schemas: ReadonlyMap<string, SettingSchema>
  readonly #rejected = new Set<string>()
  readonly #listeners = new Set<(changes: SettingChanges) => void>()
  readonly #check: SettingCheck
  readonly #options: ConfigStoreOptions

  constructor (options: ConfigStoreOptions) {
    this.#options = options
    this.#check = new SettingCheck(options.schema, options.parsers)
    this.#first = Object.freeze({ ...Value.Create(options.schema) as RunTimeSettings, ...options.initial })
    this.#values = this.#first
    this.#schemas = new Map(Object.entries(options.schema.properties).map(([name, schema]) => [name, settingSchemaOf(name, schema)]))
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

  /** Whether the table could not be read lately: then the last values hold, and others may have been stored. */
  get isStale (): boolean {
    return this.#away
  }

  /**
   * Stores all the changes, or none, and resolves once this process lives by them. Throws InvalidInputError for a name
   * or a value that the schema does not have.
   */
  async put (changes: SettingChanges, by = '', recording?: Recording<void>): Promise<void> {
    this.#checkEach(changes)
    await this.update(() => changes, by, recording)
  }

  /**
   * The same for changes that depend on what is stored: `decide` gets the settings as they are at that moment in the database, and
   * no other change, of this process or another, comes in between. When it throws, nothing is stored.
   */
  async update (decide: (settings: Readonly<RunTimeSettings>) => SettingChanges, by = '', recording?: Recording<void>): Promise<void> {
    await this.#change((settings) => ({ set: decide(settings) }), { by }, async (transaction) => { await recording?.(transaction) })
  }

  /**
   * Stores one value, when the setting is at a revision that `condition` takes (0: not stored), and answers how it is then.
   * @throws NotFoundError for a name, InvalidInputError for a value that the schema does not have
   */
  async set (name: string, value: unknown, options: ChangeOptions): Promise<SettingState> {
    this.#known(name)
    const fault = this.#check.faultIn(name, value)
    if (fault !== undefined) throw invalidField('value', fault.slice(name.length + 1))
    return await this.#changeOne(name, () => ({ set: { [name]: value } }), options)
  }

  /** Takes a setting out of the store, so that the environment or the default holds again. Not stored already is no error. */
  async remove (name: string, options: ChangeOptions): Promise<SettingState> {
    this.#known(name)
    return await this.#changeOne(name, () => ({ remove: [name] }), options)
  }

  /**
   * Gives a setting the value that it had at a revision, as a new revision. Without one: the value before the last change.
   * @throws NotFoundError when it has no such revision
   */
  async rollBack (name: string, revision: number | undefined, options: ChangeOptions): Promise<SettingState> {
    this.#known(name)
    return await this.#changeOne(name, async (transaction) => {
      const { rows: changes } = await transaction.query<HistoryRow>({
        text: 'SELECT revision, value::text AS value FROM settings_history WHERE key = $1 AND ($2::bigint IS NULL OR revision = $2) ORDER BY revision DESC LIMIT 2',
        values: [name, revision ?? null]
      })
      const target = revision === undefined ? changes[1] : changes[0]
      if (target === undefined && (revision !== undefined || changes.length === 0)) {
        throw new NotFoundError(`${name} has no ${revision === undefined ? 'earlier value' : `revision ${revision}`}: GET /config/${name}/history lists those it has.`)
      }
      // Before its first change it was not stored.
      return target === undefined || target.value === null ? { remove: [name] } : { set: { [name]: JSON.parse(target.value) as unknown } }
    }, { ...options, action: 'rolled_back' })
  }

  /**
   * Makes all the changes, or none, and answers how the settings are then, in that order.
   * @throws NotFoundError for a name, InvalidInputError for a value or a setting that is named twice, SettingChangedError for a revision
   */
  async edit (edits: readonly SettingEdit[], options: Omit<ChangeOptions, 'condition' | 'recording'> & { recording?: Recording<SettingState[]> | undefined }): Promise<SettingState[]> {
    const names = edits.map(({ name }) => this.#known(name))
    for (const [index, { name, value }] of edits.entries()) {
      const fault = names.indexOf(name as SettingName) < index ? `${name} is named twice` : value === undefined ? undefined : this.#check.faultIn(name, value)
      if (fault !== undefined) throw invalidField(`changes/${index}`, fault)
    }
    const statesIn = (rows: Row[]): SettingState[] => {
      const named = new Map(rows.map((row) => [row.key, row]))
      return names.map((name) => this.#stateIn(name, named))
    }
    const { recording, ...rest } = options
    return statesIn(await this.#change((_settings, stored) => {
      for (const { name, condition } of edits) if (!condition(revisionIn(stored, name))) throw new SettingChangedError(name)
      return {
        set: Object.fromEntries(edits.flatMap(({ name, value }) => value === undefined ? [] : [[name, value]])),
        remove: edits.flatMap(({ name, value }) => value === undefined ? [name] : [])
      }
    }, rest, async (transaction, rows) => { await recording?.(transaction, statesIn(rows)) }))
  }

  /** How a setting is now, as far as this process knows. @throws NotFoundError */
  state (name: string): SettingState {
    return this.#stateIn(this.#known(name), this.#rows)
  }

  /** How all of them are. */
  states (): SettingState[] {
    return (Object.keys(this.#first) as SettingName[]).map((name) => this.#stateIn(name, this.#rows))
  }

  /** The changes of one setting, or of all, the latest first: those before a revision, or, the earliest first, those after one. */
  async history ({ name, before, after, limit }: HistoryQuery): Promise<SettingChange[]> {
    if (name !== undefined) this.#known(name)
    const { rows } = await this.#options.database.query<HistoryRow>({
      text: `
        SELECT revision, key, value::text AS value, action, changed_at, changed_by FROM settings_history
        WHERE ($1::text IS NULL OR key = $1) AND ($2::bigint IS NULL OR revision < $2) AND ($3::bigint IS NULL OR revision > $3)
        ORDER BY revision ${after === undefined ? 'DESC' : 'ASC'} LIMIT $4`,
      values: [name ?? null, before ?? null, after ?? null, limit]
    })
    return rows.map(({ revision, key, value, action, changed_at: at, changed_by: by }) => ({
      revision: Number(revision), key, value: value === null ? undefined : JSON.parse(value) as unknown, action, changedAt: at, changedBy: by
    }))
  }

  /** Adds what the settings have to satisfy together once some of them are changed: it throws for those that do not fit, and nothing is stored then. */
  check (rule: Rule): void {
    this.#rules.push(rule)
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
      const { rows: [newest] } = await database.query<{ revision: string }>(NEWEST, { attempts: 1 })
      if (Number(newest?.revision) !== this.#revision) await this.load()
      if (this.#away) log.info('the settings can be read again')
      this.#away = false
    } catch (error) {
      if (!this.#away && !this.#closed) log.warn({ err: error }, 'the settings cannot be read: the last values hold')
      this.#away = true
    }
  }

  async #read (): Promise<void> {
    // The revision first: a change that comes in between is read again, never missed.
    const { rows: [newest] } = await this.#options.database.query<{ revision: string }>(NEWEST)
    const { rows } = await this.#options.database.query<Row>(SELECT_ROWS)
    const before: Record<string, unknown> = this.#values
    this.#values = this.#settingsIn(rows)
    this.#rows = new Map(rows.map((row) => [row.key, row]))
    const changed = Object.entries(this.#values).filter(([name, value]) => !isDeepStrictEqual(before[name], value))
    this.#revision = Number(newest?.revision ?? 0)
    if (changed.length > 0) this.#announce(Object.fromEntries(changed))
  }

  #settingsIn (rows: readonly Row[]): RunTimeSettings {
    const settings: Record<string, unknown> = { ...this.#first }
    for (const row of rows) {
      const value = JSON.parse(row.value) as unknown
      const fault = this.#check.faultIn(row.key, value)
      if (fault === undefined) settings[row.key] = value
      else this.#reject(row, fault)
    }
    return Object.freeze(settings) as RunTimeSettings
  }

  async #changeOne (name: string, decide: (transaction: Queryable) => Changes | Promise<Changes>, options: ChangeOptions & { action?: Action }): Promise<SettingState> {
    const stateIn = (rows: Row[]): SettingState => this.#stateIn(name as SettingName, new Map(rows.map((row) => [row.key, row])))
    return stateIn(await this.#change(async (_settings, stored, transaction) => {
      if (options.condition?.(revisionIn(stored, name)) === false) throw new SettingChangedError(name)
      return await decide(transaction)
    }, options, async (transaction, rows) => { await options.recording?.(transaction, stateIn(rows)) }))
  }

  /** Answers the rows as they are afterwards, or would be after a dry run. */
  async #change (decide: Decide, { by, dryRun = false, action, call = {} }: ChangeOptions & { action?: Action }, recording: Recording<Row[]>): Promise<Row[]> {
    const rows = await this.#options.database.transaction(async (transaction) => {
      // Revisions are committed in order, so that who has seen one has seen all before it.
      await transaction.query('LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE')
      const { rows: stored } = await transaction.query<Row>(SELECT_ROWS)
      const { set = {}, remove = [] } = await decide(this.#settingsIn(stored), stored, transaction)
      this.#checkEach(set)
      const others = stored.filter(({ key }) => !remove.includes(key) && !Object.hasOwn(set, key))
      const wanted = [...others, ...Object.entries(set).map(([key, value]) => ({ key, value: JSON.stringify(value), revision: String(revisionIn(stored, key)), updated_at: new Date(), changed_by: by }))]
      const changed = [...Object.keys(set), ...remove]
      for (const rule of this.#rules) rule(this.#settingsIn(wanted), changed)
      if (dryRun) return wanted
      await transaction.query({
        text: `
          WITH written AS (
            INSERT INTO settings (key, value) SELECT key, value FROM jsonb_each($1::jsonb)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_at = now()
            RETURNING key, value, revision
          ), removed AS (
            DELETE FROM settings WHERE key = ANY($2) RETURNING key, nextval('settings_revision') AS revision
          )
          INSERT INTO settings_history (key, value, revision, action, changed_by)
          SELECT key, value, revision, $3, $5 FROM written UNION ALL SELECT key, NULL, revision, $4, $5 FROM removed`,
        values: [JSON.stringify(set), remove, action ?? 'set', action ?? 'deleted', by]
      })
      const { rows } = await transaction.query<Row>(SELECT_ROWS)
      await recording(transaction, rows)
      return rows
    }, call)
    if (!dryRun) await this.load()
    return rows
  }

  #known (name: string): SettingName {
    if (!Object.hasOwn(this.#first, name)) throw new NotFoundError(`${name.slice(0, 100)} is not a setting that can change while running: GET /config lists those there are.`)
    return name as SettingName
  }

  #stateIn (name: SettingName, rows: ReadonlyMap<string, Row>): SettingState {
    const schema = this.#options.schema.properties[name] as TSchema
    const row = rows.get(name)
    const stored = row !== undefined && this.#check.faultIn(name, JSON.parse(row.value)) === undefined ? row : undefined
    const first: unknown = this.#first[name]
    const source = stored !== undefined ? 'store' : isDeepStrictEqual(first, Value.Create(schema)) ? 'default' : 'environment'
    return {
      name,
      value: stored === undefined ? first : JSON.parse(stored.value) as unknown,
      source,
      revision: Number(stored?.revision ?? 0),
      default: Value.Create(schema),
      first,
      schema: this.#schemas.get(name) ?? {},
      description: schema.description ?? '',
      ...(stored && { changedAt: stored.updated_at, changedBy: stored.changed_by ?? '' })
    }
  }

  #checkEach (changes: SettingChanges | Record<string, unknown>): void {
    for (const [name, value] of Object.entries(changes)) {
      const fault = this.#check.faultIn(name, value)
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
}

/** Values as text, since a JSON null must not be taken for none. */
interface Row { key: string, value: string, revision: string, updated_at: Date, changed_by: string | null }
interface HistoryRow { revision: string, key: string, value: string | null, action: Action, changed_at: Date, changed_by: string }
interface Changes { set?: Record<string, unknown>, remove?: string[] }
type Decide = (settings: Readonly<RunTimeSettings>, stored: readonly Row[], transaction: Queryable) => Changes | Promise<Changes>

const SELECT_ROWS = `
  SELECT settings.key, settings.value::text AS value, settings.revision, settings.updated_at, changed_by
  FROM settings LEFT JOIN settings_history USING (revision)`
const NEWEST = 'SELECT coalesce(max(revision), 0) AS revision FROM settings_history'

function revisionIn (rows: readonly Row[], name: string): number {
  return Number(rows.find(({ key }) => key === name)?.revision ?? 0)
}
