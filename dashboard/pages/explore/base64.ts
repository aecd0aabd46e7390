/** Bytes at once: more arguments than that a call does not take. */
const PIECE = 8192

export function toBase64 (bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode(...bytes.subarray(at, at + PIECE))
  return btoa(text)
}

/** Undefined for what is no base64 in the one form that the service takes: RFC 4648, section 4, with its padding. */
export function fromBase64 (text: string): Uint8Array<ArrayBuffer> | undefined {
  let binary: string
  try {
    binary = atob(text)
  } catch {
    // Not one of its characters, or not as many as there have to be.
    return undefined
  }
  return btoa(binary) === text ? Uint8Array.from(binary, (character) => character.charCodeAt(0)) : undefined
}
