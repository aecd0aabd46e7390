/** A string of RFC 9651 (once 8941), which takes ASCII alone: any other byte is percent-encoded, and so is `%`. */
export function structuredString (text: string): string {
  if (/^[\x20!#$&-[\]-~]*$/.test(text)) return `"${text}"`
  return `"${Buffer.from(text).toString('latin1').replace(/[^\x20-\x7e]|%/g, percent).replace(/["\\]/g, '\\$&')}"`
}

const percent = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`

/** Names as groups of cached responses (draft-ietf-httpbis-cache-groups): the first 32, which is as many as caches have to take. */
export const groupList = (names: readonly string[]): string => names.slice(0, 32).map(structuredString).join(', ')
