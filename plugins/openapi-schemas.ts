type Json = Record<string, unknown>
interface Body { required?: boolean, content: Record<string, { schema?: Json }> }

/**
 * Schemas of the document in the form that generators of clients make good types of. What they allow stays the same:
 * alternatives of single values become one enumeration, and an array whose places are all described says nothing of others.
 */
export function plainSchemas (value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const child of Object.values(value)) plainSchemas(child)
  const schema = value as Json
  const words = wordsOf(schema.anyOf)
  if (words !== undefined) {
    delete schema.anyOf
    Object.assign(schema, { type: 'string', enum: words })
  }
  if (Array.isArray(schema.prefixItems) && schema.prefixItems.length === schema.maxItems) delete schema.items
}

/** A body that may be null is one that need not be sent. */
export function optionalBody (body: Body | undefined): void {
  if (body === undefined) return
  for (const media of Object.values(body.content)) {
    const alternatives = media.schema?.anyOf as Json[] | undefined
    if (alternatives?.length !== 2 || alternatives[1]?.type !== 'null') continue
    body.required = false
    media.schema = alternatives[0]!
  }
}

function wordsOf (alternatives: unknown): unknown[] | undefined {
  if (!Array.isArray(alternatives)) return undefined
  const each = (alternatives as Json[]).map(({ type, enum: words }) => type === 'string' && Array.isArray(words) ? words as unknown[] : undefined)
  return each.every((words) => words !== undefined) ? each.flat() : undefined
}
