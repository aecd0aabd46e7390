import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** Hold values that fit their schema to more than it can say: each throws what is wrong, in words that follow the name. */
export type SettingParsers = Readonly<Partial<Record<string, (value: string) => unknown>>>

/** What values settings may have. */
export class SettingCheck {
  readonly #schema: TObject
  readonly #parsers: SettingParsers

  /** @param schema describes every setting */
  constructor (schema: TObject, parsers: SettingParsers = {}) {
    this.#schema = schema
    this.#parsers = parsers
  }

  /** What is wrong with the value, or with the name, beginning with it; undefined: nothing. */
  faultIn (name: string, value: unknown): string | undefined {
    const schema = Object.hasOwn(this.#schema.properties, name) ? this.#schema.properties[name] : undefined
    if (schema === undefined) return `${name} is not a setting`
    if (!Value.Check(schema, value)) return `${name} must be ${expected(schema)}`
    const parse = this.#parsers[name]
    try {
      parse?.(value as string)
      return undefined
    } catch (error) {
      return `${name} ${(error as Error).message}`
    }
  }
}

/** In words that follow "must be". */
function expected (schema: TSchema): string {
  if (KindGuard.IsUnion(schema) && schema.anyOf.some((each) => KindGuard.IsNull(each))) return `null or ${schema.anyOf.filter((each) => !KindGuard.IsNull(each)).map(expected).join(' or ')}`
  if (KindGuard.IsUnion(schema)) return `one of ${schema.anyOf.map((word) => String(word['const'])).join(', ')}`
  if (KindGuard.IsRecord(schema)) return 'an object that its schema allows'
  if (KindGuard.IsBoolean(schema)) return 'true or false'
  if (KindGuard.IsString(schema)) return `text of ${schema.minLength} to ${schema.maxLength} characters`
  return `${KindGuard.IsInteger(schema) ? 'a whole number' : 'a number'} from ${schema['minimum']} to ${schema['maximum']}`
}
