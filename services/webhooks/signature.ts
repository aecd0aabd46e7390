import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32

/** A new secret as receivers' libraries take it: `whsec_` and base64 (Standard Webhooks 1.0.0). */
export function newSecret (): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/**
 * The headers of a message: its id, which stays the same however often it is sent, when it is sent, and a signature under each
 * secret (Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and body).
 * @param time seconds since 1970
 */
export function signed (id: string, time: number, body: string, secrets: readonly string[]): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64')}`
  })
  return { 'webhook-id': id, 'webhook-timestamp': String(time), 'webhook-signature': signatures.join(' ') }
}
