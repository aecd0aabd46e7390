import SQL from '@nearform/sql'
import type { Queryable } from '../database.js'
import type { Consumer } from './consumer.js'
import type { Event } from './event.js'

/** What would be needed to do what happened, where the subject does not name it. */
const SCOPES: Readonly<Record<string, string>> = { breakers: 'config:write' }

/** Writes the audit trail of what happened to the resources, and of breakers that opened and closed. The event's id is the entry's: it stands there once. */
export class AuditConsumer implements Consumer {
  readonly name = 'audit'

  handles (type: string): boolean {
    return /^(?:item|product|recipe|user|post|breaker)\./.test(type)
  }

  async handle ({ id, type, subject, time }: Event, transaction: Queryable): Promise<void> {
    const at = new Date(time)
    const resource = subject.split('/', 1)[0] as string
    await transaction.query(SQL`
      INSERT INTO audit_log (event, at, until, count, principal, kind, action, scope, resource, outcome)
      VALUES (${id}, ${at}, ${at}, 1, '', 'event', ${type}, ${SCOPES[resource] ?? `${resource}:write`}, ${subject}, 'success')
      ON CONFLICT (event) DO NOTHING`)
  }
}
