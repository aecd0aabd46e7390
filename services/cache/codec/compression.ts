import { deflateRaw, deflateRawSync, inflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib'
import type { MaybePromise } from '../stores/store.js'
import { UnreadableError } from './unreadable.js'

/** What was done to a value's bytes. The numbers are stored. */
export const COMPRESSION = { none: 0, deflate: 1 } as const

/** Below this many bytes a value is left alone: it saves little, and costs ten microseconds. See `bench/README.md`. */
export const COMPRESSION_THRESHOLD = 1024
/** A value has to become shorter by this part of it, or else every read would pay for next to nothing. */
const WORTHWHILE = 1 / 8
/** From this many bytes on the work is done on another thread: it would hold the event loop for more than about 0.2 ms. */
const DEFLATE_APART = 48 * 1024
const INFLATE_APART = 256 * 1024
/** The longest value that is compressed, and so the most that anything can be inflated to. */
const LONGEST = 64 * 1024 * 1024
/** Deflate makes nothing shorter than by this factor (RFC 1951: 258 bytes in two bits, and the codes before them). */
const GREATEST_RATIO = 1032
/** The length before compression, in front. */
const PREFIX = 4
const LARGEST_CHUNK = 1024 * 1024

/**
 * The value's bytes compressed, behind their length; undefined when that is not worth it. Deflate at its fastest (RFC 1951): see
 * `bench/README.md` for what it was held against.
 */
export function compress (bytes: Buffer): MaybePromise<Buffer | undefined> {
  if (bytes.length < COMPRESSION_THRESHOLD || bytes.length > LONGEST) return undefined
  const options: ZlibOptions = { level: 1 }
  if (bytes.length < DEFLATE_APART) return framed(deflateRawSync(bytes, options), bytes.length)
  return new Promise((resolve, reject) => {
    deflateRaw(bytes, options, (error, deflated) => {
      if (error === null) resolve(framed(deflated, bytes.length))
      else reject(error)
    })
  })
}

/**
 * The bytes as they were. Takes no more memory than the value said that it would, which may be no more than deflate can bring
 * about: what nobody has authenticated is no bomb either.
 * @throws UnreadableError
 */
export function decompress (stored: Buffer): MaybePromise<Buffer> {
  if (stored.length <= PREFIX) throw new UnreadableError('damaged')
  const length = stored.readUInt32LE(0)
  const deflated = stored.subarray(PREFIX)
  if (length > LONGEST || length > deflated.length * GREATEST_RATIO) throw new UnreadableError('damaged')
  const options: ZlibOptions = { maxOutputLength: Math.max(1, length), chunkSize: Math.min(Math.max(length, 64), LARGEST_CHUNK) }
  if (length < INFLATE_APART) {
    try {
      return checked(inflateRawSync(deflated, options), length)
    } catch {
      throw new UnreadableError('damaged')
    }
  }
  return new Promise((resolve, reject) => {
    inflateRaw(deflated, options, (error, inflated) => {
      if (error === null && inflated.length === length) resolve(inflated)
      else reject(new UnreadableError('damaged'))
    })
  })
}

function framed (deflated: Buffer, length: number): Buffer | undefined {
  if (PREFIX + deflated.length > length * (1 - WORTHWHILE)) return undefined
  const bytes = Buffer.allocUnsafe(PREFIX + deflated.length)
  bytes.writeUInt32LE(length)
  deflated.copy(bytes, PREFIX)
  return bytes
}

function checked (inflated: Buffer, length: number): Buffer {
  if (inflated.length !== length) throw new UnreadableError('damaged')
  return inflated
}
