import { randomInt } from 'node:crypto'

/** Differs from process to process, so that nobody outside can choose keys that collide. */
const SEED = randomInt(2 ** 32)

/**
 * A hash of a key for the policies that remember keys they do not hold: 32 bits, as a signed integer; FNV-1a over UTF-16 units,
 * then the finalizer of MurmurHash3, so that every bit depends on all.
 * @param salt the hash of the namespace, so that the same key in two of them is two keys
 */
export function hashKey (key: string, salt = SEED): number {
  let hash = salt ^ 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
