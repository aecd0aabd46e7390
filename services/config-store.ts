import { isDeepStrictEqual } from 'node:util'
import createError from '@fastify/error'
import type { TObject } from '@sinclair/typebox'
import type { RunTimeSettings } from '../schemas/config.js'
import type { Call, Database, Queryable } from './database.js'
import { invalidField, InvalidInputError, NotFoundError, UnsupportedHereError } from './errors.js'
import type { Recording } from './idempotency/recording.js'
import type { SettingParsers } from './setting-check.js'
import { whyWithoutNamespaces } from './setting-namespaces.js'
import { type HistoryQuery, type SettingAction, type SettingChange, type SettingEntry, SettingTable } from './setting-table.js'
import { byPlace, type Overrides, placeOf, type SettingChanges, type SettingName, type SettingRows, type SettingState, SettingValues } from './setting-values.js'

export type { HistoryQuery, Overrides, SettingChange, SettingChanges, SettingName, SettingState }

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

export const SettingChangedError = createError<[name: string]>(
  'ERR_PRECONDITION_FAILED', '%s has changed since it was read: read it again, and decide again.', 412)

/** Holds settings, as they would be, to each other; `changed` names those that are different, for all or for a namespace. */
export type Rule = (settings: Readonly<RunTimeSettings>, changed: readonly string[], overrides: Overrides) => void
/** Is told what is different; where namespaces have other values of their own than before, all of those too. */
export type SettingListener = (changes: SettingChanges, overrides: Overrides | undefined) => void

export interface ChangeOptions {
  /** Who makes the change, for the history. */
  by: string
  /** Whose own value is meant; absent: the one that holds for all namespaces without one. */
  namespace?: string | undefined
  /** Whether the change may be made to a setting at this revision; 0 is one that is not stored. Absent: to any. */
  condition?: (revision: number) => boolean
  /** Checks everything, and stores nothing. */
  dryRun?: boolean
  /** Called in the transaction of the change. */
  recording?: Recording<SettingState> | undefined
  /** On whose behalf it is made. */
  call?: Call
}

/** One of several changes that are made together. A value of undefined takes it out of the store. */
export interface SettingEdit extends SettingEntry {
  /** Whether it may be made to a setting at this revision; 0 is one that is not stored. */
  condition: (revision: number) => boolean
}

/** Values for namespaces that there may be in all: every process has them in memory, and reads all of them at each change. */
const MAX_OVERRIDES = 10_000

/**
 * The settings that may change while running: tables of values over the first values, for all namespaces of the cache and for single
 * ones, read from memory, written to PostgreSQL. Every value written gets the next revision. While the database is away the last values hold.
 */
export class ConfigStore {
  #settings: RunTimeSettings
  #overrides: Overrides = new Map()
  #revision = 0
  #rows: SettingRows = new Map()
  readonly #rules: Rule[] = []
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> = Promise.resolve()
  #away = false
  #closed = false
  readonly #listeners = new Set<SettingListener>()
  readonly #revisionListeners = new Set<() => void>()
  readonly #values: SettingValues
  readonly #table: SettingTable
  readonly #options: ConfigStoreOptions

  constructor (options: ConfigStoreOptions) {
    this.#options = options
    this.#table = new SettingTable(options.database)
    this.#values = new SettingValues(options)
    this.#settings = this.#values.first
  }

  get<Name extends SettingName> (name: Name): RunTimeSettings[Name] {
    return this.#settings[name]
  }

  /** Every setting with its value now; a snapshot. */
  all (): Readonly<RunTimeSettings> {
    return this.#settings
  }

  /** What single namespaces have of their own; a snapshot. */
  get overrides (): Overrides {
    return this.#overrides
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
    this.#checkEach(entriesOf(changes))
    await this.update(() => entriesOf(changes), by, recording)
  }

  /**
   * The same for changes that depend on what is stored: `decide` gets the settings as they are at that moment in the database, and
   * no other change, of this process or another, comes in between. When it throws, nothing is stored.
   */
  async update (decide: (settings: Readonly<RunTimeSettings>) => readonly SettingEntry[], by = '', recording?: Recording<void>): Promise<void> {
    await this.#change((rows) => decide(this.#values.settingsIn(rows.values())), { by }, async (transaction) => { await recording?.(transaction) })
  }

  /**
   * Stores one value, when the setting is at a revision that `condition` takes (0: not stored), and answers how it is then.
   * @throws NotFoundError for a name, InvalidInputError for a value that the schema does not have, UnsupportedHereError for what no namespace has for itself
   */
  async set (name: string, value: unknown, options: ChangeOptions): Promise<SettingState> {
    this.#values.known(name, options.namespace)
    const fault = this.#values.faultIn(name, value)
    if (fault !== undefined) throw invalidField('value', fault.slice(name.length + 1))
    return await this.#changeOne(name, () => value, options)
  }

  /** Takes a value out of the store, so that the one below it holds again. Not stored already is no error. */
  async remove (name: string, options: ChangeOptions): Promise<SettingState> {
    this.#values.known(name, options.namespace)
    return await this.#changeOne(name, () => undefined, options)
  }

  /**
   * Gives a setting the value that it had at a revision, as a new revision. Without one: the value before the last change.
   * @throws NotFoundError when it has no such revision
   */
  async rollBack (name: string, revision: number | undefined, options: ChangeOptions): Promise<SettingState> {
    const { namespace } = options
    this.#values.known(name, namespace)
    return await this.#changeOne(name, async (transaction) => {
      const changes = await this.#table.history({ name, namespace: namespace ?? null, limit: 2, ...revision !== undefined && { before: revision + 1 } }, transaction)
      const target = revision === undefined ? changes[1] : changes.find((change) => change.revision === revision)
      if (target === undefined && (revision !== undefined || changes.length === 0)) {
        const place = namespace === undefined ? '' : `?namespace=${namespace}`
        throw new NotFoundError(`${name} has no ${revision === undefined ? 'earlier value' : `revision ${revision}`}: GET /config/${name}/history${place} lists those it has.`)
      }
      // Before its first change it was not stored.
      return target?.value
    }, { ...options, action: 'rolled_back' })
  }

  /**
   * Makes all the changes, or none, and answers how the settings are then, in that order.
   * @throws NotFoundError for a name, InvalidInputError for a value or a setting that is named twice, SettingChangedError for a revision,
   * UnsupportedHereError for what no namespace has for itself
   */
  async edit (edits: readonly SettingEdit[], options: Omit<ChangeOptions, 'condition' | 'recording' | 'namespace'> & { recording?: Recording<SettingState[]> | undefined }): Promise<SettingState[]> {
    const places = new Set<string>()
    for (const [index, { name, namespace, value }] of edits.entries()) {
      this.#values.known(name, namespace)
      const place = placeOf(name, namespace)
      const fault = places.has(place) ? `${name} is named twice` : value === undefined ? undefined : this.#values.faultIn(name, value)
      if (fault !== undefined) throw invalidField(`changes/${index}`, fault)
      places.add(place)
    }
    const statesIn = (rows: SettingRows): SettingState[] => edits.map(({ name, namespace }) => this.#values.stateIn(rows, name as SettingName, namespace))
    const { recording, ...rest } = options
    return statesIn(await this.#change((rows) => {
      for (const { name, namespace, condition } of edits) if (!condition(revisionIn(rows, name, namespace))) throw new SettingChangedError(name)
      return edits
    }, rest, async (transaction, rows) => { await recording?.(transaction, statesIn(rows)) }))
  }

  /**
   * How a setting is now, for all or in a namespace, as far as this process knows.
   * @throws NotFoundError, UnsupportedHereError for what no namespace has for itself
   */
  state (name: string, namespace?: string): SettingState {
    return this.#values.stateIn(this.#rows, this.#values.known(name, namespace), namespace)
  }

  /** How all of them are. */
  states (): SettingState[] {
    return (Object.keys(this.#values.first) as SettingName[]).map((name) => this.#values.stateIn(this.#rows, name))
  }

  /** Those that a namespace may have a value of its own of. */
  ownable (): SettingName[] {
    return (Object.keys(this.#values.first) as SettingName[]).filter((name) => whyWithoutNamespaces(name) === undefined)
  }

  /** The values that namespaces have of their own, of one setting or of all: by the setting, then by the namespace. */
  ownStates (name?: string): SettingState[] {
    const own = [...this.#overrides].flatMap(([namespace, values]) => Object.keys(values).filter((each) => name === undefined || each === name)
      .map((each) => [placeOf(each, namespace), each as SettingName, namespace] as const))
    return own.sort(([a], [b]) => a < b ? -1 : 1).map(([, each, namespace]) => this.#values.stateIn(this.#rows, each, namespace))
  }

  /** The changes of one setting, or of all, the latest first: those before a revision, or, the earliest first, those after one. */
  async history (query: HistoryQuery): Promise<SettingChange[]> {
    if (query.name !== undefined) this.#values.known(query.name, query.namespace ?? undefined)
    return await this.#table.history(query)
  }

  /** Of the first change that the history has; 0 while it has none. */
  async oldestRevision (): Promise<number> {
    return await this.#table.oldest()
  }

  /** Adds what the settings have to satisfy together once some of them are changed: it throws for those that do not fit, and nothing is stored then. */
  check (rule: Rule): void {
    this.#rules.push(rule)
  }

  /** Calls `listener` after each change, this process's or another's, that makes something different. Answers how to stop it. */
  on (listener: SettingListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Calls `listener` whenever there are later changes, which may have left every value as it was. Answers how to stop it. */
  onRevision (listener: () => void): () => void {
    this.#revisionListeners.add(listener)
    return () => this.#revisionListeners.delete(listener)
  }

  /** Reads the tables. One reading at a time, in the order asked, so that an older one never wins. */
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
    this.#revisionListeners.clear()
    await this.#reading.catch(() => {})
  }

  async #poll (): Promise<void> {
    const { log } = this.#options
    try {
      if (await this.#table.newest({ attempts: 1 }) !== this.#revision) await this.load()
      if (this.#away) log.info('the settings can be read again')
      this.#away = false
    } catch (error) {
      if (!this.#away && !this.#closed) log.warn({ err: error }, 'the settings cannot be read: the last values hold')
      this.#away = true
    }
  }

  async #read (): Promise<void> {
    // The revision first: a change that comes in between is read again, never missed.
    const revision = await this.#table.newest()
    const rows = await this.#table.rows()
    const before: Record<string, unknown> = this.#settings
    const isLater = revision !== this.#revision
    const overrides = this.#values.overridesIn(rows)
    const isOtherwise = !isDeepStrictEqual(overrides, this.#overrides)
    this.#settings = this.#values.settingsIn(rows)
    this.#overrides = overrides
    this.#rows = byPlace(rows)
    this.#revision = revision
    const changed = Object.entries(this.#settings).filter(([name, value]) => !isDeepStrictEqual(before[name], value))
    if (changed.length > 0 || isOtherwise) this.#announce(this.#listeners, (listener) => { listener(Object.fromEntries(changed), isOtherwise ? overrides : undefined) })
    if (isLater) this.#announce(this.#revisionListeners, (listener) => { listener() })
  }

  async #changeOne (name: string, decide: (transaction: Queryable) => unknown, options: ChangeOptions & { action?: SettingAction }): Promise<SettingState> {
    const { namespace } = options
    const stateIn = (rows: SettingRows): SettingState => this.#values.stateIn(rows, name as SettingName, namespace)
    return stateIn(await this.#change(async (rows, transaction) => {
      if (options.condition?.(revisionIn(rows, name, namespace)) === false) throw new SettingChangedError(name)
      return [{ name, namespace, value: await decide(transaction) }]
    }, options, async (transaction, rows) => { await options.recording?.(transaction, stateIn(rows)) }))
  }

  /** Answers what is stored afterwards, or would be after a dry run. */
  async #change (decide: Decide, { by, dryRun = false, action, call = {} }: ChangeOptions & { action?: SettingAction }, recording: Recording<SettingRows>): Promise<SettingRows> {
    const rows = await this.#options.database.transaction(async (transaction) => {
      await this.#table.lock(transaction)
      const stored = byPlace(await this.#table.rows(transaction))
      const entries = await decide(stored, transaction)
      this.#checkEach(entries)
      const wanted = rowsAfter(stored, entries, by)
      checkNumber(wanted, stored)
      const [settings, overrides] = [this.#values.settingsIn(wanted.values()), this.#values.overridesIn(wanted.values())]
      const changed = entries.map(({ name }) => name)
      for (const rule of this.#rules) rule(settings, changed, overrides)
      if (dryRun) return wanted
      await this.#table.write(transaction, entries, by, action)
      const written = byPlace(await this.#table.rows(transaction))
      await recording(transaction, written)
      return written
    }, call)
    if (!dryRun) await this.load()
    return rows
  }

  #checkEach (entries: readonly SettingEntry[]): void {
    for (const { name, namespace, value } of entries) {
      if (namespace !== undefined) this.#values.known(name, namespace)
      const fault = value === undefined ? undefined : this.#values.faultIn(name, value)
      if (fault !== undefined) throw new InvalidInputError(fault)
    }
  }

  #announce<Listener> (listeners: Iterable<Listener>, tell: (listener: Listener) => void): void {
    for (const listener of listeners) {
      try {
        tell(listener)
      } catch (error) {
        this.#options.log.warn({ err: error }, 'a change of settings could not be applied')
      }
    }
  }
}

type Decide = (rows: SettingRows, transaction: Queryable) => readonly SettingEntry[] | Promise<readonly SettingEntry[]>

/** As entries, of a namespace where one is given. */
export function entriesOf (changes: SettingChanges, namespace?: string): SettingEntry[] {
  return Object.entries(changes).map(([name, value]) => ({ name, namespace, value }))
}

function revisionIn (rows: SettingRows, name: string, namespace?: string): number {
  return Number(rows.get(placeOf(name, namespace))?.revision ?? 0)
}

/** What would be stored, each value at the revision that is there now. */
function rowsAfter (stored: SettingRows, entries: readonly SettingEntry[], by: string): SettingRows {
  const rows = new Map(stored)
  for (const { name, namespace, value } of entries) {
    const place = placeOf(name, namespace)
    if (value === undefined) rows.delete(place)
    else rows.set(place, { key: name, namespace: namespace ?? null, value: JSON.stringify(value), revision: String(revisionIn(stored, name, namespace)), updated_at: new Date(), changed_by: by })
  }
  return rows
}

function checkNumber (wanted: SettingRows, stored: SettingRows): void {
  if (wanted.size <= MAX_OVERRIDES || wanted.size <= stored.size) return
  const count = [...wanted.values()].filter(({ namespace }) => namespace !== null).length
  if (count > MAX_OVERRIDES) throw new UnsupportedHereError(`There are ${MAX_OVERRIDES} values for single namespaces already: take one out first, or change what holds for all.`)
}
