import { invalidField } from './errors.js'

/** Which end of a list comes first. */
export type Order = 'oldest' | 'newest'

/** Which part of a list is asked for: what comes after `cursor`, `limit` at most. */
export interface PageRequest {
  /** Default MAX_PAGE. */
  limit?: number | undefined
  /** `next_cursor` of the page before. */
  cursor?: string | undefined
  /** Default `oldest`. Lists that are read from either end alone. */
  order?: Order | undefined
}

/** Most that one answer lists. */
export const MAX_PAGE = 1000

const CURSOR = /^after:(0|[1-9]\d{0,17})$/

/** Beyond every position. */
const LAST = '9223372036854775807'

/** The position after which a page begins; before which, where the newest come first. @throws InvalidInputError */
export function positionOf (cursor: string | undefined, order: Order = 'oldest'): string {
  if (cursor === undefined) return order === 'oldest' ? '0' : LAST
  const position = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('latin1'))?.[1]
  if (position === undefined) throw invalidField('cursor', 'must be the next_cursor of the page before, as it came.')
  return position
}

/** What a page says about the next one; nothing when it is the last. */
export function nextPage (position: string | number | undefined): { next_cursor?: string } {
  return position === undefined ? {} : { next_cursor: Buffer.from(`after:${position}`).toString('base64url') }
}

/** Splits rows, of which one more than `limit` was asked for, into those of the page and what follows. */
export function pageOf<Row> (rows: Row[], limit: number, position: (row: Row) => string | number): { rows: Row[], next: { next_cursor?: string } } {
  if (rows.length <= limit) return { rows, next: {} }
  const page = rows.slice(0, limit)
  return { rows: page, next: nextPage(position(page[limit - 1] as Row)) }
}
