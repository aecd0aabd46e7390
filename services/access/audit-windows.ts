import { isIPv6 } from 'node:net'
import type { AuditEvent } from './audit-event.js'

export interface WindowOptions {
  /** Milliseconds during which events that are alike are counted. Default one minute. */
  length?: number
  /** Kinds of events that are told apart in that time. Default 1000. */
  most?: number
}

/** Several events that are alike: the first of them, when the last was, and how many there were. */
export interface Counted { readonly event: AuditEvent, until: number, count: number }

/** What events that are counted together are alike in, and when they were. */
export type Alike = Pick<AuditEvent, 'at' | 'outcome' | 'action' | 'scope' | 'status' | 'principal' | 'address'>

interface Window extends Counted { readonly closes: number }

/**
 * Counts events that come in floods: the first of a kind is told at once, those that are alike within a minute are one row at its
 * end. Whoever is turned away again and again, from one address or from thousands, fills no table with that: beyond the kinds that are
 * told apart, all are counted together.
 */
export class AuditWindows {
  readonly #length: number
  readonly #most: number
  readonly #windows = new Map<string, Window>()
  /** The one that each principal's last event was counted in: who comes with each request does much the same again. */
  readonly #latest = new Map<string, Window>()

  constructor ({ length = 60_000, most = 1000 }: WindowOptions = {}) {
    this.#length = length
    this.#most = most
  }

  /** Counts one more where some that are alike were told of already, and tells whether. The event needs no more than what it is alike in. */
  countAgain (event: Alike): boolean {
    const latest = this.#latest.get(event.principal)
    const window = latest !== undefined && isAlike(latest.event, event) ? latest : this.#windows.get(nameOf(event))
    if (window === undefined) return false
    if (window !== latest) this.#latest.set(event.principal, window)
    count(window, event)
    return true
  }

  /** Whether the event is to be told by itself; otherwise it was counted. */
  isFirst (event: AuditEvent): boolean {
    if (this.countAgain(event)) return false
    const name = nameOf(event)
    const closes = event.at + this.#length
    if (this.#windows.size < this.#most) {
      this.#windows.set(name, { event, until: event.at, count: 0, closes })
      return true
    }
    const others = this.#windows.get(event.outcome)
    if (others !== undefined) count(others, event)
    else this.#windows.set(event.outcome, { event: anonymous(event), until: event.at, count: 1, closes })
    return false
  }

  /** Windows that are open. */
  get size (): number { return this.#windows.size }

  /** Ends the windows whose time is over, or all of them, and answers what was counted in them. */
  close (now = Infinity): Counted[] {
    const counted: Counted[] = []
    this.#latest.clear()
    for (const [name, window] of this.#windows) {
      if (window.closes > now) continue
      this.#windows.delete(name)
      if (window.count > 0) counted.push({ event: window.event, until: window.until, count: window.count })
    }
    return counted
  }
}

function nameOf ({ outcome, action, scope, status, principal, address }: Alike): string {
  return `${outcome} ${action} ${scope} ${status} ${principal} ${sourceOf(address)}`
}

/** The same, letter for letter: what has the same name otherwise is found by that. */
function isAlike (a: Alike, b: Alike): boolean {
  return a.status === b.status && a.outcome === b.outcome && a.action === b.action && a.scope === b.scope && a.address === b.address
}

function count (window: Window, { at }: Alike): void {
  window.count++
  window.until = at
}

function anonymous ({ at, outcome, action, scope }: AuditEvent): AuditEvent {
  return { at, principal: '', kind: 'anonymous', action, scope, outcome, reason: 'Many sources at once, counted together.' }
}

/** Whoever has one address of IPv6 has 2^64 of them. */
function sourceOf (address = ''): string {
  if (!address.includes(':') || !isIPv6(address)) return address
  const [head = '', tail] = address.split('::', 2)
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const behind = tail === '' ? [] : tail.split(':')
    while (groups.length + behind.length < 8) groups.push('0')
    groups.push(...behind)
  }
  return groups.slice(0, 4).join(':')
}
