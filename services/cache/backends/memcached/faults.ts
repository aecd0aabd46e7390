import { DeadlineError } from '../../deadline.js'
import type { Passing } from '../../resilience.js'

/** The connection is lost, or there is none. Whether what was sent has been carried out is not known. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

/** There is none: nothing was sent. */
export class NotConnectedError extends ConnectionLostError {}

/** The server said something that is no answer to what it was asked: nothing that follows on this connection can be believed. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** The server answered that it will not: the connection stays in step. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
}

/** The value does not fit into one item. */
export const isTooLarge = (error: unknown): boolean => error instanceof RefusedError && error.message.includes('object too large')

/** The server has no room, and may evict nothing (`-M`), or not enough. */
export const isFull = (error: unknown): boolean => error instanceof RefusedError && error.message.includes('out of memory')

/** What became of a request that failed for a reason that passes; undefined for other reasons, such as no answer in time. */
export const passing = (error: unknown): Passing | undefined =>
  error instanceof NotConnectedError ? 'unsent' : error instanceof ConnectionLostError ? 'lost' : undefined

/** Anything but an answer of memcached that concerns the operation alone. */
export const isOutage = (error: unknown): boolean => error instanceof ConnectionLostError || error instanceof ProtocolError ||
  error instanceof DeadlineError || (error instanceof RefusedError && !isTooLarge(error) && !isFull(error))
