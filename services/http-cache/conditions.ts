import { matchesTag } from '../preconditions.js'
import { parseHttpDate } from './http-date.js'

interface Conditional { 'if-none-match'?: string | undefined, 'if-modified-since'?: string | undefined }

/** Whether a GET or HEAD is answered with 304 (RFC 9110, section 13.1): `If-Modified-Since` counts only where there is no `If-None-Match`. */
export function isUnchanged ({ 'if-none-match': noneMatch, 'if-modified-since': since }: Conditional, tag: string, lastModified?: string): boolean {
  if (noneMatch !== undefined) return matchesTag(noneMatch, tag)
  return parseHttpDate(lastModified) <= parseHttpDate(since)
}
