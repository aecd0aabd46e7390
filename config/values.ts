import { KindGuard, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Environment, type Setting } from '../schemas/config.js'
import { ConfigError } from './fault.js'

export type Name = keyof Environment
export type Given = NodeJS.ProcessEnv

export const schemas = Environment.properties as unknown as Record<Name, Setting>
export const names = Object.keys(schemas) as Name[]

const booleans = new Map([['true', true], ['1', true], ['false', false], ['0', false]])

/** Checks and converts what was given for one setting. @throws ConfigError */
export function parse (name: Name, text: string): string | number | boolean {
  const schema = schemas[name]
  const shown = schema.secret ? '' : `, not ${JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)}`
  let value: string | number | boolean | undefined = text
  if (KindGuard.IsBoolean(schema)) value = booleans.get(text.trim())
  else if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) value = /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

  if (name === 'DATABASE_URL' && /^sqlite/i.test(text)) {
    throw new ConfigError(name, 'DATABASE_URL: SQLite is not supported: give a postgres:// URL, or leave it out for the embedded PostgreSQL.')
  }
  if (value === undefined || !Value.Check(schema, value)) throw new ConfigError(name, `${name} must be ${expected(schema)}${shown}.`)
  if (schema.built && !schema.built.includes(value)) throw new ConfigError(name, notBuilt(name, schema, text))
  return value
}

function notBuilt (name: Name, schema: Setting, text: string): string {
  const works = schema.built as readonly unknown[]
  return works.length === 0
    ? `${name} is for something that is not built yet: leave it out.`
    : `${name}=${text} asks for something that is not built yet: give ${works.join(' or ')}, or leave it out.`
}

/** What a schema takes, in words that follow "must be". */
export function expected (schema: TSchema): string {
  if (KindGuard.IsBoolean(schema)) return 'true or false'
  if (KindGuard.IsUnion(schema)) return `one of ${schema.anyOf.map((word) => String(word['const'])).join(', ')}`
  if (KindGuard.IsInteger(schema)) return `a whole number from ${schema.minimum} to ${schema.maximum}`
  if (KindGuard.IsNumber(schema)) return `a number from ${schema.minimum} to ${schema.maximum}`
  const [example] = (schema['examples'] ?? []) as string[]
  return example === undefined ? 'a text' : `like ${example}`
}

export function parseUrl (name: Name, text: string): URL {
  try {
    return new URL(text)
  } catch {
    throw new ConfigError(name, `${name} is not a valid URL: it must be ${expected(schemas[name])}, with special characters in the password percent-encoded.`)
  }
}
