import type { Invalidation } from '../ledger.js'
import type { InForce } from './backend.js'
import { parsed } from './parsed.js'

/** The names that an invalidation is kept under, one for each thing it concerns. */
export function fieldsOf (namespace: string, what: Invalidation): string[] {
  const soft = what.soft === true
  const fields = (what.tags ?? []).map((tag) => ['tag', namespace, tag, soft])
  if (what.pattern !== undefined) fields.push(['pattern', namespace, what.pattern, soft])
  if (what.all === true) fields.push(['all', namespace, '', soft])
  return fields.map((field) => JSON.stringify(field))
}

/** The invalidation behind such a name; undefined for a name that is none. */
export function invalidationOf (field: string, stamp: number): InForce | undefined {
  const [kind, namespace, what, soft] = parsed<[string, string, string, boolean]>(field) ?? []
  if (typeof namespace !== 'string' || typeof what !== 'string' || typeof soft !== 'boolean') return undefined
  const invalidation: Invalidation = kind === 'tag' ? { tags: [what] } : kind === 'pattern' ? { pattern: what } : { all: true }
  return { namespace, what: { ...invalidation, soft }, stamp }
}
