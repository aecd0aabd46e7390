import { isDeepStrictEqual } from 'node:util'
import { componentOf, resolve, type Document, type Schema } from './document.js'

/** `request`: what callers send was described by the old document. `answer`: what they understand was. */
export type Direction = 'request' | 'answer'

/** A place where two schemas do not go together: the component or operation, and what is wrong there. */
export interface Misfit { subject: string, text: string }

interface Place { subject: string, path: string }

const AT_LEAST = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const AT_MOST = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']
const SAME = ['pattern', 'format', 'contentEncoding', 'contentMediaType', 'multipleOf', 'uniqueItems']
const KNOWN = new Set([...AT_LEAST, ...AT_MOST, ...SAME, '$ref', 'type', 'enum', 'const', 'anyOf', 'oneOf', 'properties', 'required', 'additionalProperties',
  'items', 'prefixItems', 'default', 'description', 'examples', 'example', 'title', 'deprecated', 'readOnly', 'writeOnly'])
const TYPES = ['string', 'number', 'boolean', 'object', 'array', 'null']

/**
 * Tells whether every value of one schema is a value of another, which is in another document: what callers send has to be taken still, and
 * what is answered has to be understood still. One thing is forgiven: an answer may have fields that it did not have.
 */
export class SchemaFit {
  readonly #inner: Document
  readonly #outer: Document
  readonly #direction: Direction
  #compared = new Set<string>()

  /** `inner` holds the schemas whose values have to fit: the old document's requests, or the new one's answers. */
  constructor (inner: Document, outer: Document, direction: Direction) {
    this.#inner = inner
    this.#outer = outer
    this.#direction = direction
  }

  /** What does not fit. A pair of components is compared once; later mentions of the same pair are silent. */
  misfits (inner: Schema, outer: Schema, subject: string, path = ''): Misfit[] {
    return this.#compare(inner, outer, { subject, path })
  }

  #compare (inner: Schema, outer: Schema, from: Place): Misfit[] {
    const pair = [componentOf(inner), componentOf(outer)]
    if (pair[0] !== undefined && pair[1] !== undefined) {
      if (this.#compared.has(pair.join(' '))) return []
      this.#compared.add(pair.join(' '))
    }
    // The old document's name is the one that callers know.
    const named = this.#direction === 'request' ? pair[0] : pair[1]
    const place = named === undefined ? from : { subject: named, path: '' }
    const small = this.#known(resolve(this.#inner, inner))
    const large = this.#known(resolve(this.#outer, outer))
    const alternatives = large.anyOf ?? large.oneOf
    if (small.anyOf !== undefined || small.oneOf !== undefined) return (small.anyOf ?? small.oneOf)!.flatMap((one) => this.#compare(one, outer, place))
    if (alternatives !== undefined) {
      return partsOf(small).filter((part) => !alternatives.some((one) => this.#fits(part, one)))
        .map((part) => this.#misfit(place, `${naming(part)} is ${this.#direction === 'request' ? 'not taken any more' : 'new'}`))
    }
    const foreign = this.#types(small, large, place)
    if (foreign.length > 0) return foreign
    return [...this.#values(small, large, place), ...this.#limits(small, large, place), ...this.#fields(small, large, place), ...this.#elements(small, large, place)]
  }

  /** On trial: what is found out about components holds only if this fits. */
  #fits (inner: Schema, outer: Schema): boolean {
    const before = this.#compared
    this.#compared = new Set(before)
    const isFit = this.#compare(inner, outer, { subject: '', path: '' }).length === 0
    this.#compared = before
    return isFit
  }

  #types (small: Schema, large: Schema, place: Place): Misfit[] {
    const foreign = typesOf(small).filter((type) => !typesOf(large).some((one) => one === type || (one === 'number' && type === 'integer')))
    return foreign.length === 0 ? [] : [this.#misfit(place, `${foreign.join(', ')} ${this.#direction === 'request' ? 'is not taken any more' : 'is new'}`)]
  }

  #values (small: Schema, large: Schema, place: Place): Misfit[] {
    const allowed = valuesOf(large)
    if (allowed === undefined) return []
    const values = valuesOf(small)
    if (values === undefined) return [this.#misfit(place, this.#direction === 'request' ? 'only certain values are taken now' : 'any value may come now')]
    return values.filter((value) => !allowed.some((one) => isDeepStrictEqual(one, value)))
      .map((value) => this.#misfit(place, `${JSON.stringify(value)} is ${this.#direction === 'request' ? 'not taken any more' : 'new'}`))
  }

  #limits (small: Schema, large: Schema, place: Place): Misfit[] {
    const broken = [
      ...AT_LEAST.filter((limit) => large[limit] !== undefined && !((small[limit] ?? (limit.endsWith('mum') ? -Infinity : 0)) as number >= (large[limit] as number))),
      ...AT_MOST.filter((limit) => large[limit] !== undefined && !((small[limit] ?? Infinity) as number <= (large[limit] as number))),
      ...SAME.filter((keyword) => large[keyword] !== undefined && large[keyword] !== small[keyword])
    ]
    const word = (schema: Schema, limit: string) => schema[limit] === undefined ? 'none' : JSON.stringify(schema[limit])
    return broken.map((limit) => {
      const [before, after] = this.#direction === 'request' ? [small, large] : [large, small]
      return this.#misfit(place, `${limit} was ${word(before, limit)}, and is ${word(after, limit)}`)
    })
  }

  #fields (small: Schema, large: Schema, place: Place): Misfit[] {
    const { properties: had = {}, required: sent = [] } = small
    const { properties: has = {}, required: needed = [], additionalProperties: others = true } = large
    const below = (name: string): Place => ({ ...place, path: `${place.path}.${name}` })
    const found: Misfit[] = []
    for (const [name, schema] of Object.entries(had)) {
      if (has[name] !== undefined) found.push(...this.#compare(schema, has[name], below(name)))
      else if (this.#direction === 'request') found.push(this.#misfit(below(name), 'is gone'))
      else if (typeof others === 'object') found.push(...this.#compare(schema, others, below(name)))
    }
    const gone = this.#direction === 'answer' ? Object.keys(has).filter((name) => had[name] === undefined) : []
    found.push(...gone.map((name) => this.#misfit(below(name), 'is gone')))
    for (const name of needed.filter((name) => !sent.includes(name) && !gone.includes(name))) {
      found.push(this.#misfit(below(name), this.#direction === 'request' ? 'has to be sent now' : 'may be missing now'))
    }
    const { additionalProperties: free = true } = small
    if (typesOf(small).includes('object') && free !== false && typesOf(large).includes('object')) {
      if (others === false && this.#direction === 'request') found.push(this.#misfit(place, 'other fields are not taken any more'))
      else if (typeof others === 'object') found.push(...this.#compare(free === true ? {} : free, others, below('*')))
    }
    return found
  }

  #elements (small: Schema, large: Schema, place: Place): Misfit[] {
    const places = Math.max(small.prefixItems?.length ?? 0, large.prefixItems?.length ?? 0)
    const found: Misfit[] = []
    for (let i = 0; i <= places; i++) {
      const [inner, outer] = [elementOf(small, i), elementOf(large, i)]
      const below = { ...place, path: `${place.path}[${i < places ? i : ''}]` }
      if (outer === true || inner === false) continue
      if (outer === false) found.push(this.#misfit(below, this.#direction === 'request' ? 'is not taken any more' : 'is new'))
      else found.push(...this.#compare(inner === true ? {} : inner, outer, below))
    }
    return found
  }

  #known (schema: Schema): Schema {
    const unknown = Object.keys(schema).filter((keyword) => !KNOWN.has(keyword) && !keyword.startsWith('x-'))
    if (unknown.length > 0) throw new Error(`Schemas with ${unknown.join(', ')} cannot be compared yet: see tools/openapi/schema-fit.ts.`)
    return schema
  }

  #misfit ({ subject, path }: Place, what: string): Misfit {
    return { subject, text: `${subject}${path} in ${this.#direction === 'request' ? 'requests' : 'answers'}: ${what}` }
  }
}

function valuesOf (schema: Schema): unknown[] | undefined {
  return schema.enum ?? ('const' in schema ? [schema.const] : schema.type === 'null' ? [null] : undefined)
}

function typesOf (schema: Schema): string[] {
  if (schema.type !== undefined) return [schema.type].flat()
  const values = valuesOf(schema)
  if (values === undefined) return TYPES
  return [...new Set(values.map((value) => value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value))]
}

/** Each may fit another alternative: types, the values of an enumeration, and both booleans. */
function partsOf (schema: Schema): Schema[] {
  return typesOf(schema).flatMap((type): Schema[] => {
    const values = valuesOf(schema) ?? (type === 'boolean' ? [true, false] : undefined)
    if (values === undefined) return [{ ...schema, type }]
    return values.filter((value) => typesOf({ const: value }).some((one) => one === type || (one === 'number' && type === 'integer'))).map((value) => ({ type, enum: [value] }))
  })
}

function naming (schema: Schema): string {
  return schema.enum === undefined ? `a kind of ${String(schema.type)}` : JSON.stringify(schema.enum[0])
}

function elementOf (schema: Schema, i: number): boolean | Schema {
  return schema.prefixItems?.[i] ?? schema.items ?? true
}
