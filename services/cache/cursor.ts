import { createHash } from 'node:crypto'
import { InvalidCursorError } from './errors.js'

const SEAL_LENGTH = 6

const sealOf = (place: string): string => createHash('sha256').update(place).digest('base64url').slice(0, SEAL_LENGTH)

/** The place where a page of a list ended, with what tells it from a text that somebody made up. */
export const sealCursor = (place: string): string => sealOf(place) + place

/** @throws InvalidCursorError for what `sealCursor` did not make */
export function openCursor (cursor: string): string {
  const place = cursor.slice(SEAL_LENGTH)
  if (!/^[\w-]{1,2000}$/.test(place) || sealOf(place) !== cursor.slice(0, SEAL_LENGTH)) throw new InvalidCursorError()
  return place
}
