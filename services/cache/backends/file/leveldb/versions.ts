import { MalformedError } from './fields.js'

/** A change of a row, as LevelDB keeps it until a later one has made it needless (`db/dbformat.h`). */
export interface Version {
  readonly key: Buffer
  /** Of two changes of a row, the one with the higher number came later. */
  readonly sequence: number
  /** Undefined for a deletion. */
  readonly value: Buffer | undefined
}

/** From the one to the other, both included. */
export interface KeyRange { readonly from: Buffer, readonly to: Buffer }

/** What follows the row's key: the number of the change, and its kind in the lowest byte. */
const TRAILER = 8
export const PUT = 1

/** The row's key in an internal one. @throws MalformedError */
export function keyOf (internal: Buffer): Buffer {
  if (internal.length < TRAILER) throw new MalformedError('a key')
  return internal.subarray(0, internal.length - TRAILER)
}

/** @throws MalformedError */
export function versionOf (internal: Buffer, value: Buffer): Version {
  const key = keyOf(internal)
  const low = internal.readUInt32LE(key.length)
  const sequence = internal.readUInt32LE(key.length + 4) * 2 ** 24 + (low >>> 8)
  return { key, sequence, value: (low & 0xff) === PUT ? value : undefined }
}
