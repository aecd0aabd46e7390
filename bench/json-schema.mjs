/** The JSON schema that a careful author would write for values like this one: every member named and typed, arrays by their first. */
export function schemaOf (value) {
  if (value === null) return { type: 'null' }
  if (Array.isArray(value)) return { type: 'array', items: value.length === 0 ? {} : schemaOf(value[0]) }
  if (typeof value !== 'object') return { type: typeof value }
  return {
    type: 'object',
    required: Object.keys(value),
    additionalProperties: false,
    properties: Object.fromEntries(Object.entries(value).map(([name, member]) => [name, schemaOf(member)]))
  }
}
