import type { Event } from '../events/event.js'

/** Bytes that a message may have: receivers set limits. */
export const MAX_MESSAGE = 20_000

/** The event as it is sent. One that is too large goes without its data, and says where they are read (`dataref`, CloudEvents 1.0). */
export function messageOf (event: Event): string {
  const whole = JSON.stringify(event)
  if (Buffer.byteLength(whole) <= MAX_MESSAGE) return whole
  const { data: _data, ...rest } = event
  return JSON.stringify({ ...rest, dataref: `/${event.subject}` })
}
