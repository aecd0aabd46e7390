/** What the API says of a setting's value (`schema` of `GET /config`). */
export interface SettingSchema {
  type?: string | string[]
  enum?: string[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  unit?: string
}

/** What a person edits it with. */
export type InputKind = 'choice' | 'switch' | 'number' | 'text' | 'json'

/** A value, or what is wrong with its text, in words that follow the field's name. */
export type Parsed<T = unknown> = { value: T, fault?: undefined } | { fault: string, value?: undefined }

const UNITS: Record<string, { factors: [RegExp, number][], like: string }> = {
  seconds: {
    factors: [[/^(?:|s|sec|seconds?)$/, 1], [/^(?:m|min|minutes?)$/, 60], [/^(?:h|hours?)$/, 3600], [/^(?:d|days?)$/, 86_400]],
    like: '90, 5 min, 2 h or 1 d'
  },
  bytes: {
    factors: [[/^(?:|b|bytes?)$/, 1], [/^(?:k|kib?|kb)$/, 1024], [/^(?:m|mib?|mb)$/, 1024 ** 2], [/^(?:g|gib?|gb)$/, 1024 ** 3], [/^(?:t|tib?|tb)$/, 1024 ** 4]],
    like: '1048576, 64 MiB or 2 GiB'
  }
}

const typesOf = ({ type = [] }: SettingSchema): string[] => typeof type === 'string' ? [type] : type

/** Whether null is a value of it, which is that there is no limit. */
export function isNullable (schema: SettingSchema): boolean {
  return typesOf(schema).includes('null')
}

export function kindOf (schema: SettingSchema): InputKind {
  if (schema.enum !== undefined) return 'choice'
  const types = typesOf(schema)
  if (types.includes('boolean')) return 'switch'
  if (types.includes('integer') || types.includes('number')) return 'number'
  return types.includes('string') ? 'text' : 'json'
}

/** A value as its field begins with it. Null, where it is no limit, is an empty text. */
export function textOf (value: unknown, schema: SettingSchema): string {
  if (kindOf(schema) === 'json') return JSON.stringify(value, null, 2)
  return value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)
}

/** The value that a text stands for. The service has the last word; this says at once what it would. */
export function parseValue (text: string, schema: SettingSchema): Parsed {
  switch (kindOf(schema)) {
    case 'choice': return schema.enum!.includes(text) ? { value: text } : { fault: `must be one of ${schema.enum!.join(', ')}` }
    case 'switch': return text === 'true' || text === 'false' ? { value: text === 'true' } : { fault: 'must be on or off' }
    case 'number': return parseNumber(text, schema)
    case 'text': return parseText(text, schema)
    case 'json': return parseJson(text)
  }
}

/** A number, with its unit where it has one. */
export function parseNumber (text: string, schema: SettingSchema): Parsed<number | null> {
  const trimmed = text.trim()
  if (trimmed === '') return isNullable(schema) ? { value: null } : { fault: 'needs a value' }
  const unit = schema.unit === undefined ? undefined : UNITS[schema.unit]
  const isWhole = typesOf(schema).includes('integer')
  const [, digits, name = ''] = /^([+-]?(?:\d[\d_]*)?(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-z]*)$/i.exec(trimmed) ?? []
  const factor = name === '' ? 1 : unit?.factors.find(([pattern]) => pattern.test(name.toLowerCase()))?.[1]
  const value = digits === undefined || digits === '' || factor === undefined ? NaN : Number(digits.replaceAll('_', '')) * factor
  if (!Number.isFinite(value)) return { fault: `must be a number${unit === undefined ? '' : ` of ${schema.unit}, such as ${unit.like}`}` }
  if (isWhole && !Number.isInteger(value)) return { fault: `must be a whole number${schema.unit === undefined ? '' : ` of ${schema.unit}`}` }
  const { minimum = -Infinity, maximum = Infinity } = schema
  if (value < minimum || value > maximum) {
    return { fault: maximum === Infinity ? `must be ${minimum} or more` : `must be from ${minimum} to ${maximum}${schema.unit === undefined ? '' : ` ${schema.unit}`}` }
  }
  return { value }
}

function parseText (text: string, { minLength = 0, maxLength = Infinity }: SettingSchema): Parsed {
  if (text.length < minLength) return { fault: text === '' ? 'needs a value' : `must have at least ${minLength} characters` }
  return text.length > maxLength ? { fault: `must have at most ${maxLength} characters` } : { value: text }
}

/** JSON, with the place where it stops being it. */
export function parseJson (text: string): Parsed {
  if (text.trim() === '') return { fault: 'needs a value as JSON' }
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    return { fault: `is not JSON: ${(error as Error).message}` }
  }
}

/** What a field takes, in words. */
export function hintOf (schema: SettingSchema): string | undefined {
  const { minimum, maximum, unit } = schema
  const kind = kindOf(schema)
  if (kind === 'json') return 'JSON'
  if (kind !== 'number') return undefined
  const range = minimum !== undefined && maximum !== undefined ? `${minimum} to ${maximum}` : minimum === undefined ? '' : `${minimum} or more`
  const like = unit === undefined ? undefined : UNITS[unit]?.like
  const hint = [[range, unit].filter(Boolean).join(' '), like === undefined ? undefined : `as in ${like}`, isNullable(schema) ? 'empty: no limit' : undefined]
  return hint.filter(Boolean).join('; ')
}
