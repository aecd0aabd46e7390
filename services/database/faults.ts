import { isRefusal } from '../cache/breaker.js'
import type { Verdict } from '../cache/retry.js'

/**
 * How far an attempt had come when it failed. `connecting`: nothing had been asked. `open`: what was asked is undone with the connection.
 * `ambiguous`: it may have been done, or may still be.
 */
export type Stage = 'connecting' | 'open' | 'ambiguous'

/** What an attempt has failed with, and how far it had come. */
export class AttemptFault extends Error {
  readonly fault: unknown
  readonly stage: Stage

  constructor (fault: unknown, stage: Stage) {
    super('An attempt has failed')
    this.fault = fault
    this.stage = stage
  }
}

/** There is no connection to be had: a fault of the pool, and not of the server. */
export class NoConnectionError extends Error {}

/** The database cannot be reached at all: what waits does so in vain. */
const LOST = /^(08(000|001|003|006|007|P01)|57P0[123])$/
const CONFLICTS = /^(40001|40P01|55P03)$/
/** As the server says it, or `pg` itself. */
const NO_ACCESS = /^(28|3D)/
const READ_TIMEOUT = 'Query read timeout'
const POOL_TIMEOUT = 'timeout exceeded when trying to connect'

export const codeOf = (error: unknown): string | undefined => {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

/** Node's EPIPE and EPERM look like one. */
export const isSqlState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code) && !/^EP[EI]/.test(code)

/** Whether PostgreSQL has as many connections as it takes. */
export const isCrowded = (error: unknown): boolean => codeOf(error) === '53300'

/** A mistake in this program, or an error that has its meaning already. */
export function isOurs (error: unknown): boolean {
  return !(error instanceof Error) || error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError || 'statusCode' in error
}

/** Whether the connection is gone, and with it any transaction on it. */
export function isConnectionLost (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = codeOf(error)
  // `pg` reports lost connections as plain errors.
  return code === undefined || !isSqlState(code) || /^(08|57P)/.test(code)
}

/** Whether the server did not take a connection, or said nothing on one that it had: then it is left alone for a while. */
export function isOutage (error: unknown): boolean {
  if (!(error instanceof AttemptFault)) return false
  const { fault, stage } = error
  if (isOurs(fault) || fault instanceof NoConnectionError || (fault as Error).message === POOL_TIMEOUT) return false
  if ((fault as Error).message === READ_TIMEOUT) return true
  return stage === 'connecting' && isConnectionLost(fault)
}

/**
 * Whether an attempt is worth another one. Retried is the whole transaction, never one statement of it: conflicts, which the server has
 * undone, and connections that could not be had or were lost before anything could be committed. Everything else would fail again
 * (22, 23, 42, 53100, 54), is a decision (57014: our deadline; 25006), or might be done twice.
 */
export function verdictOf (error: unknown): Verdict {
  if (!(error instanceof AttemptFault)) return isRefusal(error) || (error as { statusCode?: number }).statusCode === 503 ? 'final' : 'answer'
  const { fault, stage } = error
  if (isOurs(fault)) return 'answer'
  if (fault instanceof NoConnectionError) return 'final'
  const code = codeOf(fault)
  if (code !== undefined && isSqlState(code)) {
    if (CONFLICTS.test(code)) return 'conflict'
    if (isCrowded(fault)) return stage === 'connecting' ? 'throttled' : 'final'
    if (NO_ACCESS.test(code)) return 'final'
    if (/^2[23]/.test(code)) return 'answer'
    return LOST.test(code) && stage !== 'ambiguous' ? 'lost' : 'final'
  }
  const { message } = fault as Error
  if (message === READ_TIMEOUT || message === POOL_TIMEOUT) return 'final'
  return stage === 'ambiguous' ? 'final' : 'lost'
}
