import { randomBytes } from 'node:crypto'
import type { Queryable } from '../database.js'
import { isUuid } from '../uuid.js'

/** Something that happened, in the names of CloudEvents 1.0. */
export interface Event {
  readonly specversion: '1.0'
  /** UUID of version 7: later ones sort later. */
  readonly id: string
  readonly source: '/larder'
  /** `recipe.created`: what it happened to, and what. */
  readonly type: string
  /** ISO 8601. */
  readonly time: string
  /** What it happened to: `recipes/7`. */
  readonly subject: string
  /**
   * Counts the events about the subject, from 1, in the order in which they happened: whoever misses one, or gets one late, sees it. It begins
   * anew when none is kept any more.
   */
  readonly sequence?: number
  /** The span in which it was recorded, as in the W3C header (the distributed tracing extension of CloudEvents); where that was traced. */
  readonly traceparent?: string
  readonly datacontenttype: 'application/json'
  /** The thing as it is since then, or what identified it. */
  readonly data: unknown
}

export type NewEvent = Pick<Event, 'type' | 'subject' | 'data'>

/** Where an event stands among the others: by transaction first. Later ones come after it, and nothing can come in between. */
export interface EventPosition { readonly xid: string, readonly position: string }

/** Before the first. */
export const BEGINNING: EventPosition = { xid: '0', position: '0' }

export function isBefore (one: EventPosition, other: EventPosition): boolean {
  return one.xid === other.xid ? BigInt(one.position) < BigInt(other.position) : BigInt(one.xid) < BigInt(other.xid)
}

/** The event of which this is the JSON; undefined where it is that of none. */
export function eventIn (text: string | undefined): Event | undefined {
  let value: Partial<Record<keyof Event, unknown>> | null
  try {
    value = JSON.parse(text ?? 'null') as typeof value
  } catch {
    return undefined
  }
  const { id, type, subject, time } = value ?? {}
  const isEvent = typeof id === 'string' && isUuid(id) && typeof type === 'string' && typeof subject === 'string' && !Number.isNaN(Date.parse(String(time)))
  return isEvent ? value as Event : undefined
}

/** A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then random ones. */
export function eventId (now = Date.now()): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = bytes[6]! & 0x0f | 0x70
  bytes[8] = bytes[8]! & 0x3f | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Records events in the transaction of what they are about. */
export interface EventRecorder {
  record (transaction: Queryable, event: NewEvent): Promise<Event>
}
