import { isDeepStrictEqual } from 'node:util'
import type { TObject, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { RunTimeSettings } from '../schemas/config.js'
import { NotFoundError, UnsupportedHereError } from './errors.js'
import { SettingCheck, type SettingParsers } from './setting-check.js'
import { whyWithoutNamespaces } from './setting-namespaces.js'
import { settingSchemaOf, type SettingSchema } from './setting-schema.js'
import type { SettingRow } from './setting-table.js'

export type SettingName = keyof RunTimeSettings
export type SettingChanges = Partial<RunTimeSettings>
/** Values for single namespaces of the cache, by their names: each wins there over what holds for all. */
export type Overrides = ReadonlyMap<string, Readonly<SettingChanges>>
/** What is stored, by `placeOf`. */
export type SettingRows = ReadonlyMap<string, SettingRow>

/** One of the values that there are for a setting. */
export interface SettingLayer { source: 'default' | 'environment' | 'store' | 'namespace', value: unknown }

/** A setting, or a setting as a namespace has it, with where its value comes from. */
export interface SettingState {
  name: SettingName
  /** Absent: as all namespaces have it that have no value of their own. */
  namespace?: string
  value: unknown
  source: SettingLayer['source']
  /** Of its last change, in the namespace where one was asked for; 0 while it is not stored there. */
  revision: number
  default: unknown
  /** All the values that there are, each of which wins over those before it. */
  layers: SettingLayer[]
  schema: SettingSchema
  description: string
  changedAt?: Date
  changedBy?: string
}

export interface SettingValuesOptions {
  /** Describes every setting; holds the defaults. */
  schema: TObject
  /** First values that win over the schema's defaults: the environment's. */
  initial?: SettingChanges | undefined
  parsers?: SettingParsers | undefined
  log: { warn (detail: object, message: string): void }
}

/** What stored rows mean: which values hold, and where each comes from. */
export class SettingValues {
  /** What holds while nothing is stored. */
  readonly first: RunTimeSettings
  readonly #options: SettingValuesOptions
  readonly #check: SettingCheck
  readonly #schemas: ReadonlyMap<string, SettingSchema>
  readonly #rejected = new Set<string>()

  constructor (options: SettingValuesOptions) {
    this.#options = options
    this.#check = new SettingCheck(options.schema, options.parsers)
    this.first = Object.freeze({ ...Value.Create(options.schema) as RunTimeSettings, ...options.initial })
    this.#schemas = new Map(Object.entries(options.schema.properties).map(([name, schema]) => [name, settingSchemaOf(name, schema)]))
  }

  /** @throws NotFoundError for a name, UnsupportedHereError where no namespace has a value of its own */
  known (name: string, namespace?: string): SettingName {
    if (!Object.hasOwn(this.first, name)) throw new NotFoundError(`${name.slice(0, 100)} is not a setting that can change while running: GET /config lists those there are.`)
    const why = namespace === undefined ? undefined : whyWithoutNamespaces(name)
    if (why !== undefined) throw new UnsupportedHereError(`No namespace has ${name} for itself, which ${why}.`)
    return name as SettingName
  }

  /** What is wrong with a value, or with the name, beginning with it; undefined: nothing. */
  faultIn (name: string, value: unknown): string | undefined { return this.#check.faultIn(name, value) }

  settingsIn (rows: Iterable<SettingRow>): RunTimeSettings {
    const settings: Record<string, unknown> = { ...this.first }
    for (const row of rows) if (row.namespace === null && this.#holds(row)) settings[row.key] = JSON.parse(row.value)
    return Object.freeze(settings) as RunTimeSettings
  }

  overridesIn (rows: Iterable<SettingRow>): Overrides {
    const overrides = new Map<string, Record<string, unknown>>()
    for (const row of rows) {
      if (row.namespace === null || !this.#holds(row)) continue
      const own = overrides.get(row.namespace) ?? {}
      own[row.key] = JSON.parse(row.value)
      overrides.set(row.namespace, own)
    }
    return overrides
  }

  /** How a setting is, for all or in a namespace. */
  stateIn (rows: SettingRows, name: SettingName, namespace?: string): SettingState {
    const schema = this.#options.schema.properties[name] as TSchema
    const [fallback, first]: unknown[] = [Value.Create(schema), this.first[name]]
    const [forAll, own] = [this.#stored(rows, name), namespace === undefined ? undefined : this.#stored(rows, name, namespace)]
    const layers: SettingLayer[] = [
      { source: 'default', value: fallback },
      ...isDeepStrictEqual(first, fallback) ? [] : [{ source: 'environment' as const, value: first }],
      ...forAll === undefined ? [] : [{ source: 'store' as const, value: JSON.parse(forAll.value) as unknown }],
      ...own === undefined ? [] : [{ source: 'namespace' as const, value: JSON.parse(own.value) as unknown }]
    ]
    const meant = namespace === undefined ? forAll : own
    return {
      name,
      ...namespace === undefined ? {} : { namespace },
      ...layers.at(-1)!,
      revision: Number(meant?.revision ?? 0),
      default: fallback,
      layers,
      schema: this.#schemas.get(name) ?? {},
      description: schema.description ?? '',
      ...meant && { changedAt: meant.updated_at, changedBy: meant.changed_by ?? '' }
    }
  }

  #stored (rows: SettingRows, name: string, namespace?: string): SettingRow | undefined {
    const row = rows.get(placeOf(name, namespace))
    return row !== undefined && this.#faultOf(row) === undefined ? row : undefined
  }

  #faultOf ({ key, namespace, value }: SettingRow): string | undefined {
    const fault = this.#check.faultIn(key, JSON.parse(value))
    if (fault !== undefined || namespace === null) return fault
    const why = whyWithoutNamespaces(key)
    return why === undefined ? undefined : `${key} ${why}`
  }

  /** Says once what is wrong with a stored value, which an older or a newer release may have written. */
  #holds (row: SettingRow): boolean {
    const fault = this.#faultOf(row)
    if (fault === undefined) return true
    const { key, namespace, revision } = row
    const id = `${key}@${revision}`
    if (this.#rejected.has(id)) return false
    this.#rejected.add(id)
    this.#options.log.warn({ setting: key, ...namespace !== null && { namespace } }, `a stored setting is left out: ${fault}`)
    return false
  }
}

/** By what a setting, or a namespace's own value of it, is found among what is stored. */
export const placeOf = (name: string, namespace?: string | null): string => namespace === undefined || namespace === null ? name : `${name} ${namespace}`

export const byPlace = (rows: readonly SettingRow[]): SettingRows => new Map(rows.map((row) => [placeOf(row.key, row.namespace), row]))
