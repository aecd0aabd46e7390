/** Arrays and objects within each other: recursion over what is deeper would overflow the stack, here or in a client. */
export const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Whether JSON text opens more than `limit` brackets without closing them. Linear and without recursion; the text need not be valid. */
export function isDeeperThan (json: Uint8Array, limit: number): boolean {
  if (json.length <= limit) return false
  let depth = 0
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!
    if (byte === QUOTE) {
      for (i++; i < json.length && json[i] !== QUOTE; i++) if (json[i] === BACKSLASH) i++
    } else if ((byte | 0x20) === 0x7b) { // [ or {
      if (++depth > limit) return true
    } else if ((byte | 0x20) === 0x7d) { // ] or }
      depth--
    }
  }
  return false
}
