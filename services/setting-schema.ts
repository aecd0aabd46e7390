import { KindGuard, type TSchema } from '@sinclair/typebox'

/** What a value has to be, as plain JSON Schema; `unit` (`seconds`, `bytes`) is what a number counts. */
export type SettingSchema = Readonly<Record<string, unknown>>

/** How the names of settings end that count something. */
const UNITS: readonly (readonly [RegExp, string])[] = [[/(?:ttl|_interval|_delay|\.deadline)$/, 'seconds'], [/\.max_memory$/, 'bytes']]

/**
 * For whoever makes a form of it: a choice of words is an `enum`, what may be null has two types. Default and description are left
 * out, as the setting has them beside it.
 */
export function settingSchemaOf (name: string, schema: TSchema): SettingSchema {
  const unit = UNITS.find(([ending]) => ending.test(name))?.[1]
  return { ...plainOf(schema), ...(unit !== undefined && { unit }) }
}

function plainOf (schema: TSchema): SettingSchema {
  const { default: _, description: __, ...rules } = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>
  if (!KindGuard.IsUnion(schema)) return rules
  const { anyOf: ___, ...others } = rules
  const some = schema.anyOf.filter((each) => !KindGuard.IsNull(each))
  const isNullable = some.length < schema.anyOf.length
  const [only = {} as TSchema] = some
  const plain: Record<string, unknown> = some.every((each) => KindGuard.IsLiteral(each))
    ? { type: 'string', enum: some.map((each) => each['const'] as unknown) }
    : JSON.parse(JSON.stringify(only)) as Record<string, unknown>
  return { ...others, ...plain, ...(isNullable && { type: [plain['type'], 'null'] }) }
}
