import type { FastifyRequest } from 'fastify'

/** How many requests it counts as to go through all of a cache: an export, an import. */
export const WHOLE = 100
/** The same for what sweeps or sums up in the background: clear, analytics. */
export const SWEEP = 10

/** A batch counts as many requests as it holds keys or entries. */
export function perEntry ({ body }: Pick<FastifyRequest, 'body'>): number {
  return Array.isArray(body) ? body.length : Object.keys(body as object).length
}
