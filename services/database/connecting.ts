import type { PoolClient } from 'pg'
import type { ConnectionPool } from '../database.js'
import { NoConnectionError } from './faults.js'

/**
 * A connection of the pool, unless that takes longer than so many milliseconds, or the signal ends the wait: one that comes later goes
 * back by itself.
 */
export async function connectWithin (pool: ConnectionPool, milliseconds: number, signal?: AbortSignal): Promise<PoolClient> {
  return await within(pool.connect(), milliseconds, signal, (client) => { client.release() })
}

/**
 * What is under way to the server, unless that takes longer than so many milliseconds, or the signal ends the wait.
 * @param onLate gets what comes later
 * @throws NoConnectionError, or the signal's reason
 */
export async function within<T> (connecting: Promise<T>, milliseconds: number, signal?: AbortSignal, onLate?: (result: T) => void): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
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
    if (signal?.aborted === true) cut()
    else signal?.addEventListener('abort', cut)
    connecting.then((result) => {
      if (isOver) {
        onLate?.(result)
        return
      }
      settle()
      resolve(result)
    }, (error: Error) => { if (!isOver) end(error) })
  })
}
