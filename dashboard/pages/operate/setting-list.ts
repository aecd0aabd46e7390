import type { Setting, SettingChange, SettingOverride } from '../../../schemas/settings.js'
import { bytes, duration } from '../../format.js'

export interface SettingFilter {
  text: string
  /** Empty: any. */
  source: string
}

/** Those whose name, description or value has all the words, from the source that is asked for. */
export function filterSettings (settings: readonly Setting[], { text, source }: SettingFilter): Setting[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  return settings.filter((setting) => {
    if (source !== '' && setting.source !== source) return false
    const searched = `${setting.key} ${setting.description} ${JSON.stringify(setting.value) ?? ''}`.toLowerCase()
    return words.every((word) => searched.includes(word))
  })
}

/**
 * The setting as it is after a change that somebody made. Undefined where the change does not say it, as when it was taken out of
 * the store: then it has to be read. One that is older than what is known changes nothing.
 */
export function changedSetting (setting: Setting, { revision, value, changed_at: at, changed_by: by }: SettingChange): Setting | undefined {
  if (revision <= setting.revision) return setting
  return value === undefined ? undefined : { ...setting, value, source: 'store', revision, updated_at: at, updated_by: by }
}

/** What namespaces have of their own after a change that was made for one of them. */
export function changedOverrides (overrides: readonly SettingOverride[], { key, namespace = '', revision, value, changed_at: at, changed_by: by }: SettingChange): SettingOverride[] {
  const known = overrides.find((each) => each.key === key && each.namespace === namespace)
  if (known !== undefined && revision <= known.revision) return [...overrides]
  const others = overrides.filter((each) => each !== known)
  return value === undefined ? others : [...others, { key, namespace, value, revision, updated_at: at, updated_by: by }]
}

/** The list with one of them as it is now. */
export function withSetting (settings: readonly Setting[], changed: Setting): Setting[] {
  return settings.map((setting) => setting.key === changed.key ? { ...setting, ...changed } : setting)
}

/** A value in a line of words. */
export function valueText (value: unknown): string {
  if (value === null || value === undefined) return 'none'
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export interface HistoryLine extends SettingChange {
  /** What held before, as far as the page knows: undefined is what the environment or the default says. */
  before: unknown
  /** Whether the change before is on the page. */
  isBeforeKnown: boolean
}

/** Changes, the latest first, each with what was there before it. @param isComplete whether the last one is the first that there ever was */
export function historyLines (changes: readonly SettingChange[], isComplete: boolean): HistoryLine[] {
  return changes.map((change, at) => ({ ...change, before: changes[at + 1]?.value, isBeforeKnown: at + 1 < changes.length || isComplete }))
}

const ACTIONS: Record<SettingChange['action'], string> = { set: 'set', deleted: 'taken out', rolled_back: 'rolled back' }

/** What a change did, in words. */
export function changeText ({ action, value, before, isBeforeKnown }: HistoryLine): string {
  const shown = (each: unknown): string => each === undefined ? 'not stored' : valueText(each)
  return `${ACTIONS[action]}: ${isBeforeKnown ? `${shown(before)} → ` : ''}${shown(value)}`
}

/** The value, with what its number comes to. */
export function shownValue ({ value, schema }: Pick<Setting, 'value' | 'schema'>): string {
  const text = valueText(value)
  if (typeof value !== 'number') return text
  if (schema?.['unit'] === 'bytes') return `${text} (${bytes(value)})`
  if (schema?.['unit'] === 'seconds') return value === 0 && schema['minimum'] === 0 ? '0 (for ever)' : `${text} (${duration(value)})`
  return text
}
