/** As much of an OpenAPI 3.1 document as its comparison reads. */
export interface Document {
  info: { version: string }
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, Schema>
    parameters?: Record<string, Parameter>
    headers?: Record<string, Header>
    securitySchemes?: Record<string, unknown>
  }
}

export interface Operation {
  operationId: string
  'x-scope'?: string
  parameters?: (Parameter | Reference)[]
  requestBody?: { required?: boolean, content: Content }
  responses: Record<string, { headers?: Record<string, Header | Reference>, content?: Content }>
}

export interface Reference { $ref: string }
export interface Parameter { name: string, in: string, required?: boolean, schema: Schema }
export interface Header { required?: boolean, schema: Schema }
export type Content = Record<string, { schema?: Schema }>

export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: boolean | Schema
  prefixItems?: Schema[]
  [keyword: string]: unknown
}

/** What a reference leads to; anything else is itself. */
export function resolve<T extends object> (document: Document, value: T | Reference): T {
  if (!('$ref' in value) || typeof value.$ref !== 'string') return value as T
  const found = value.$ref.split('/').slice(1).reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document)
  if (found === undefined) throw new Error(`${value.$ref} leads nowhere.`)
  return resolve(document, found as T | Reference)
}

/** The component that a schema mentions, if it does. */
export function componentOf (schema: Schema): string | undefined {
  return schema.$ref?.split('/').at(-1)
}

/** Keywords of maps from names to something: what stands directly below is a name, never a keyword. */
const MAPS = new Set(['properties', 'schemas', 'paths', 'responses', 'headers', 'content', 'securitySchemes', 'parameters'])
/** What a program that calls the service does not depend on. */
const PROSE = new Set(['description', 'summary', 'example', 'examples', 'title', 'tags', 'license', 'servers'])
/** Values, not schemas. */
const VALUES = new Set(['enum', 'const', 'default', 'required'])

/** The document without its prose: it changes when what callers depend on does. */
export function contractOf (document: object): Document {
  return strip(document, false) as Document
}

function strip (value: unknown, namesBelow: boolean): unknown {
  if (Array.isArray(value)) return value.map((one) => strip(one, false))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value)
    .filter(([key]) => namesBelow || !PROSE.has(key))
    .map(([key, below]) => [key, !namesBelow && VALUES.has(key) ? below as unknown : strip(below, !namesBelow && MAPS.has(key))]))
}
