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

/** A number from a few characters of a key, most from its end, where keys differ most: for what may confuse two keys and then looks closer. */
export function sampleKey (key: string, salt: number): number {
  const { length } = key
  if (length < 4) return hashKey(key, salt)
  const end = key.charCodeAt(length - 1) ^ key.charCodeAt(length - 2) << 8 ^ key.charCodeAt(length - 3) << 16
  const rest = key.charCodeAt(length - 4) ^ key.charCodeAt(length >>> 1) << 8 ^ length << 16
  const sample = Math.imul(end ^ salt, 0x9e3779b1) ^ Math.imul(rest, 0x85ebca6b)
  return sample ^ (sample >>> 15)
}
