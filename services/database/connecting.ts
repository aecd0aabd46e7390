import type { PoolClient } from 'pg'
import type { ConnectionPool } from '../database.js'
import { NoConnectionError } from './faults.js'

/**
 * A connection of the pool, unless that takes longer than so many milliseconds, or the signal ends the wait: one that comes later goes
 * back by itself.
 */
export async function connectWithin (pool: ConnectionPool, milliseconds: number, signal?: AbortSignal): Promise<PoolClient> {
  const connecting = pool.connect()
  return await new Promise<PoolClient>((resolve, reject) => {
    let isOver = false
    const end = (error: Error): void => {
      isOver = true
      settle()
      reject(error)
    }
    const cut = (): void => { end(signal?.reason as Error) }
    const timer = setTimeout(() => { end(new NoConnectionError('Connecting took longer than there was time')) }, milliseconds)
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cut)
    }
    signal?.addEventListener('abort', cut)
    connecting.then((client) => {
      if (isOver) {
        client.release()
        return
      }
      settle()
      resolve(client)
    }, (error: Error) => { if (!isOver) end(error) })
  })
}
