import { setTimeout as delay } from 'node:timers/promises'
import type { PoolClient } from 'pg'
import { pauseBefore } from '../cache/retry.js'
import type { ConnectionPool, Statement } from '../database.js'
import { codeOf } from './faults.js'
import type { Lease } from './lease.js'

/** What the outcome of a transaction can be found out by, once the answer to its COMMIT was lost. */
export interface CommitProof {
  /** The transaction's id, as text; null when it wrote nothing. */
  id: string | null
  /** Answers a row when the transaction is committed, and none otherwise. */
  statement?: Statement
  /** Of the server when it gave the id: another one after a crash. */
  life?: string | null
}

export type CommitOutcome = 'committed' | 'aborted' | 'unknown'

export interface LostCommit {
  proof: CommitProof
  /** Of the server process that had the transaction. */
  pid: number | undefined
  /** Until when it is asked, on the clock of `performance`. */
  until: number
  /** Another connection than the one that was lost. */
  connect: () => Promise<Lease>
}

/** Milliseconds between looks, at most: at first, and later. */
const PAUSES = { baseDelay: 50, maxDelay: 500 }
/** After this many looks that found it under way, the server process is ended: what has lost its client waits for nobody. */
const PATIENT_LOOKS = 2

/**
 * The row of an unlogged table: a server that crashed comes back without it. What it had not written down by then is gone, and ids of
 * transactions with it, which it gives away again: `committed` may speak of somebody else then.
 */
const LIFE = 'SELECT id::text FROM server_life'
const BEGIN_LIFE = 'INSERT INTO server_life DEFAULT VALUES ON CONFLICT DO NOTHING'

/** Asked in the transaction before its COMMIT, unless the transaction knows its id already. */
export const ASK_ID = `SELECT pg_current_xact_id_if_assigned()::text AS id, (${LIFE}) AS life`

/** Where there was none yet, or the server has lost it. */
export async function beginLife (pool: ConnectionPool): Promise<void> {
  await pool.query(BEGIN_LIFE)
}

/**
 * Finds out, on other connections, what became of a transaction whose connection was lost during its COMMIT. That its caller is gone does not
 * end this: what was committed has consequences all the same.
 */
export async function outcomeOf ({ proof, pid, until, connect }: LostCommit): Promise<CommitOutcome> {
  if (proof.id === null) return 'committed'
  for (let look = 1; ; look++) {
    const outcome = await lookAt(proof, look > PATIENT_LOOKS ? pid : undefined, connect).catch(() => undefined)
    if (outcome !== undefined) return outcome
    const pause = pauseBefore(look, PAUSES, Math.random())
    if (performance.now() + pause > until) return 'unknown'
    await delay(pause)
  }
}

/** Undefined while it is under way. */
async function lookAt ({ id, statement, life }: CommitProof, pid: number | undefined, connect: LostCommit['connect']): Promise<CommitOutcome | undefined> {
  const lease = await connect()
  const { client } = lease
  lease.isBroken = true
  try {
    const state = await stateOf(client, id as string)
    lease.isBroken = false
    switch (state?.status) {
      case 'aborted': return 'aborted'
      case 'in progress':
        if (pid !== undefined) await end(client, pid, id as string)
        return undefined
      case 'committed':
        if (statement !== undefined) return (await client.query(statement)).rows.length > 0 ? 'committed' : 'aborted'
        return life !== null && life === state.life ? 'committed' : 'unknown'
      default: return 'unknown' // so long ago that the server has forgotten it
    }
  } finally {
    lease.end()
  }
}

async function stateOf (client: PoolClient, id: string): Promise<{ status: string | null, life: string | null } | undefined> {
  try {
    const { rows: [row] } = await client.query<{ status: string | null, life: string | null }>({
      text: `SELECT pg_xact_status($1::text::xid8) AS status, (${LIFE}) AS life`, values: [id]
    })
    return row
  } catch (error) {
    // "In the future": the server has crashed, and nothing of the transaction had been written down.
    if (codeOf(error) === '22023') return { status: 'aborted', life: null }
    throw error
  }
}

/** Only when it is at this transaction still. */
async function end (client: PoolClient, pid: number, id: string): Promise<void> {
  await client.query({ text: 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_xid = $2::text::xid8::xid', values: [pid, id] })
}
