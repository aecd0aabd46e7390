type Json = Record<string, unknown>

/** Keywords of maps from names to something: what stands directly below is a name. */
const MAPS = new Set(['properties', 'schemas', 'paths', 'responses', 'headers', 'content', 'securitySchemes', 'parameters'])
const VALUES = new Set(['example', 'enum', 'default', 'required'])

/**
 * The document in OpenAPI 3.0, for generators that know no later one. Types stay what they are, as far as 3.0, and what such generators make of it,
 * has words for them; where it has none, a wider type takes the place.
 */
export function olderDocument (document: object): object {
  const schemas = (document as { components: { schemas: Record<string, Json> } }).components.schemas
  const older = new Older(schemas).downgrade(document, false) as { openapi: string, info: Json }
  older.openapi = '3.0.3'
  older.info.license = { name: (older.info.license as Json).name }
  return older
}

class Older {
  readonly #schemas: Record<string, Json>

  constructor (schemas: Record<string, Json>) {
    this.#schemas = schemas
  }

  downgrade (value: unknown, namesBelow: boolean): unknown {
    if (Array.isArray(value)) return value.map((one) => this.downgrade(one, false))
    if (typeof value !== 'object' || value === null) return value
    if (!namesBelow && 'anyOf' in value) return this.#oneOf(value)
    const older = Object.fromEntries(Object.entries(value).filter(([key]) => namesBelow || key !== 'examples')
      .map(([key, below]) => [key, !namesBelow && VALUES.has(key) ? below as unknown : this.downgrade(below, !namesBelow && MAPS.has(key))]))
    return namesBelow ? older : inOldWords(older)
  }

  /** Null is a mark in 3.0; of objects a generator makes one type, with the fields of all of them; what else there is has no type. */
  #oneOf ({ anyOf, examples, ...rest }: Json): unknown {
    const alternatives = (anyOf as Json[]).filter(({ type }) => type !== 'null')
    const mark = alternatives.length === (anyOf as Json[]).length ? {} : { nullable: true }
    const [first = {}] = alternatives
    if (alternatives.length === 1) {
      // Beside a reference, 3.0 reads nothing.
      return '$ref' in first ? { ...rest, allOf: [first], ...mark } : { ...this.downgrade(first, false) as object, ...rest, ...mark }
    }
    const objects = alternatives.map((one) => typeof one.$ref === 'string' ? this.#schemas[one.$ref.split('/').at(-1)!]! : one)
    if (!objects.every(({ type, properties }) => type === 'object' && properties !== undefined)) return { ...rest, ...mark }
    const properties = Object.assign({}, ...objects.map((one) => one.properties).reverse()) as Json
    const required = Object.keys(properties).filter((name) => objects.every((one) => (one.required as string[] | undefined)?.includes(name)))
    const merged = { ...rest, type: 'object', properties, ...required.length === 0 ? {} : { required } }
    return { ...this.downgrade(merged, false) as object, ...mark }
  }
}

function inOldWords (schema: Json): Json {
  const { const: only, exclusiveMinimum, prefixItems, ...rest } = schema
  // Such generators make a type of the fields that have names, and lose the others.
  if (rest.additionalProperties === true) return { type: 'object', description: rest.description }
  // They write values as they stand in JSON, which only for text is what other languages read.
  if (rest.type !== 'string' && Array.isArray(rest.enum)) delete rest.enum
  if (typeof only === 'string') return { ...rest, enum: [only] }
  if (prefixItems !== undefined) return { ...rest, items: {} }
  if (exclusiveMinimum !== undefined) return { ...rest, minimum: exclusiveMinimum, exclusiveMinimum: true }
  return rest
}
