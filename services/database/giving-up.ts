import { connect } from 'node:net'
import type { PoolClient } from 'pg'
import type { Lease } from './lease.js'

/** Milliseconds that a statement gets to be through by itself once nobody waits for it: mostly it is, and its connection is kept. */
const MANNERS = 20
/** Begins a message that asks for the end of a statement, as the protocol of PostgreSQL has it. */
const CANCEL_REQUEST = 1234 << 16 | 5678
/** Milliseconds that the message may take. */
const DELIVERED = 2000

/**
 * Runs a statement, and has the server give it up when `signal` is aborted meanwhile: otherwise it would wait for a lock, and hold a connection,
 * for nobody. The connection is given to nobody else then, since the server may be at its next statement when it hears of it.
 */
export async function orGiveUp<T> (lease: Lease, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
  if (signal === undefined) return await run()
  let timer: NodeJS.Timeout | undefined
  const giveUp = (): void => {
    timer = setTimeout(() => {
      lease.isBroken = true
      cancel(lease.client)
    }, MANNERS)
  }
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await run()
  } finally {
    signal.removeEventListener('abort', giveUp)
    clearTimeout(timer)
  }
}

function cancel (client: PoolClient): void {
  const { processID, secretKey, host, port } = client as PoolClient & Partial<Record<'processID' | 'secretKey', number | null>> & { host: string, port: number }
  // The embedded database has one process, which hears of nothing while it is at a statement.
  if (typeof processID !== 'number' || typeof secretKey !== 'number') return
  const message = Buffer.alloc(16)
  message.writeInt32BE(message.length, 0)
  message.writeInt32BE(CANCEL_REQUEST, 4)
  message.writeInt32BE(processID, 8)
  message.writeInt32BE(secretKey, 12)
  const socket = connect(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
  // Where it does not arrive, the statement ends by its own time limits.
  socket.on('error', () => {})
  socket.setTimeout(DELIVERED, () => { socket.destroy() })
  socket.unref()
  socket.end(message)
}
