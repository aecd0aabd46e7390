import type { CacheDataType, CacheItem, CacheStrategy, NewCacheEntry } from '../../../schemas/cache.js'
import { fromBase64 } from './base64.js'
import { textOf } from './value-text.js'

/** What stands in the fields of the editor. */
export interface EntryForm {
  key: string
  dataType: CacheDataType
  value: string
  /** Seconds; empty: the default of the backend. */
  ttl: string
  /** Seconds; empty: none. */
  grace: string
  /** One a line. */
  tags: string
  /** Everything else in the metadata: a JSON object, or empty. */
  metadata: string
  /** Empty: the default of the backend. */
  strategy: CacheStrategy | ''
}

/** What is wrong with which field, as a sentence. */
export type Faults = Partial<Record<keyof EntryForm, string>>

export const DATA_TYPES: readonly { type: CacheDataType, title: string, hint: string }[] = [
  { type: 'string', title: 'Text', hint: 'Stored as it stands here.' },
  { type: 'json', title: 'JSON', hint: 'Any JSON value, such as {"name": "Ada"} or null.' },
  { type: 'number', title: 'Number', hint: 'Such as 42 or -1.5e3.' },
  { type: 'boolean', title: 'True or false', hint: 'The word true or false.' },
  { type: 'list', title: 'List', hint: 'A JSON array, such as [1, "two"].' },
  { type: 'dictionary', title: 'Dictionary', hint: 'A JSON object, such as {"a": 1}.' },
  { type: 'binary', title: 'Bytes', hint: 'Base64 text, or a file from this computer.' }
]

export const EMPTY_FORM: EntryForm = { key: '', dataType: 'string', value: '', ttl: '', grace: '', tags: '', metadata: '', strategy: '' }

/** @param left seconds that the entry still lives; undefined: it never expires */
export function formOf ({ key, value, data_type: dataType, grace, metadata: { tags = [], ...metadata }, strategy }: CacheItem, left: number | undefined): EntryForm {
  return {
    key,
    dataType,
    value: textOf(value, dataType),
    ttl: left === undefined ? '0' : String(Math.max(1, Math.ceil(left))),
    grace: grace === undefined ? '' : String(grace),
    tags: tags.join('\n'),
    metadata: Object.keys(metadata).length === 0 ? '' : JSON.stringify(metadata, null, 2),
    strategy
  }
}

/** The entry that a form means, or what is wrong with it. Limits that are settings are the service's to know. */
export function entryOf (form: EntryForm): { entry: NewCacheEntry, faults?: undefined } | { entry?: undefined, faults: Faults } {
  const faults: Faults = {}
  const checked = <T>(field: keyof EntryForm, read: () => T): T | undefined => {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof FormFault)) throw error
      faults[field] = error.message
      return undefined
    }
  }
  checked('key', () => { checkKey(form.key) })
  const value = checked('value', () => valueOf(form.value, form.dataType))
  const ttl = checked('ttl', () => ttlOf(form.ttl))
  const grace = checked('grace', () => graceOf(form.grace))
  const tags = checked('tags', () => tagsOf(form.tags)) ?? []
  const metadata = checked('metadata', () => metadataOf(form.metadata)) ?? {}
  if (Object.keys(faults).length > 0) return { faults }
  return {
    entry: {
      key: form.key,
      value,
      data_type: form.dataType,
      ...ttl !== undefined && { ttl },
      ...grace !== undefined && { grace },
      ...form.strategy !== '' && { strategy: form.strategy },
      ...(tags.length > 0 || Object.keys(metadata).length > 0) && { metadata: { ...metadata, ...tags.length > 0 && { tags } } }
    }
  }
}

class FormFault extends Error {}

const MAX_TAGS = 64
const MAX_TAG_LENGTH = 250
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u

function checkKey (key: string): void {
  if (key === '') throw new FormFault('Give the entry a key, such as user:123.')
  if (UNPRINTABLE.test(key)) throw new FormFault('A key has no line breaks, tabs or other control characters: take them out.')
}

export function valueOf (text: string, type: CacheDataType): unknown {
  switch (type) {
    case 'string': return text
    case 'number': return numberOf(text, 'Write a number, such as 42 or -1.5e3; choose another type for anything else.')
    case 'boolean':
      if (!/^(?:true|false)$/.test(text.trim())) throw new FormFault('Write true or false; choose another type for anything else.')
      return text.trim() === 'true'
    case 'binary':
      if (fromBase64(text.trim()) === undefined) throw new FormFault('This is no base64 text with its padding (=): choose a file instead, or the type Text.')
      return text.trim()
    case 'list': {
      const value = jsonOf(text)
      if (!Array.isArray(value)) throw new FormFault('A list is a JSON array, as in [1, "two"]: put it into brackets, or choose the type JSON.')
      return value
    }
    case 'dictionary': {
      const value = jsonOf(text)
      if (!isObject(value)) throw new FormFault('A dictionary is a JSON object, as in {"a": 1}: put it into braces, or choose the type JSON.')
      return value
    }
    case 'json': return jsonOf(text)
  }
}

/** Seconds, undefined for the default. */
export function ttlOf (text: string): number | undefined {
  if (text.trim() === '') return undefined
  const seconds = numberOf(text, 'Write seconds as a number: 0 for an entry that never expires, or nothing for the default.')
  if (seconds < 0) throw new FormFault('Seconds are not negative: 0 is for an entry that never expires.')
  return seconds
}

function graceOf (text: string): number | undefined {
  if (text.trim() === '') return undefined
  const seconds = numberOf(text, 'Write seconds as a number, or nothing for no grace.')
  if (seconds < 0) throw new FormFault('Seconds are not negative: write nothing for no grace.')
  return seconds
}

export function tagsOf (text: string): string[] {
  const tags = [...new Set(text.split('\n').map((tag) => tag.trim()).filter((tag) => tag !== ''))]
  if (tags.length > MAX_TAGS) throw new FormFault(`An entry has at most ${MAX_TAGS} tags, and these are ${tags.length}.`)
  const wrong = tags.find((tag) => UNPRINTABLE.test(tag) || new TextEncoder().encode(tag).length > MAX_TAG_LENGTH)
  if (wrong !== undefined) throw new FormFault(`A tag has at most ${MAX_TAG_LENGTH} bytes and no control characters: “${wrong.slice(0, 40)}” has.`)
  return tags
}

function metadataOf (text: string): Record<string, unknown> {
  if (text.trim() === '') return {}
  const value = jsonOf(text)
  if (!isObject(value)) throw new FormFault('Metadata is a JSON object, as in {"source": "import"}.')
  if ('tags' in value) throw new FormFault('Tags have a field of their own: take them out here.')
  return value
}

/** Whether a text is wrong for a form's field, and how: for fields that stand alone. */
export function faultOf (read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    if (!(error instanceof FormFault)) throw error
    return error.message
  }
}

export function numberOf (text: string, advice: string): number {
  const number = Number(text)
  if (text.trim() === '' || !Number.isFinite(number) || !/^\s*[-+.\d]/.test(text) || /[xob]/i.test(text)) throw new FormFault(advice)
  return number
}

function jsonOf (text: string): unknown {
  if (text.trim() === '') throw new FormFault('Write a JSON value; text stands in double quotes, and nothing is null.')
  try {
    return JSON.parse(text, finite) as unknown
  } catch (error) {
    if (error instanceof FormFault) throw error
    throw new FormFault(`This is no JSON: ${(error as Error).message}. Names and text stand in double quotes, and no comma comes before a closing bracket.`)
  }
}

function finite (_name: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new FormFault('It holds a number that is too large for a double: write it as text, in double quotes.')
  return value
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
