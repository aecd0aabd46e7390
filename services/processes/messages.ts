import type { Snapshot } from '../metrics.js'

/** From the process that leads to one that serves. */
export type Order =
  /** End, without waiting for others to see that it is about to. */
  | { larder: 'end' }
  /** What have you counted? */
  | { larder: 'count', round: number }
  /** The answer to `totals`; undefined when the others could not be asked. */
  | { larder: 'totals', request: number, text: string | undefined }

/** From a process that serves to the one that leads. */
export type Report =
  | { larder: 'counts', round: number, snapshot: Snapshot }
  /** What have all of us counted? */
  | { larder: 'totals', request: number }
  /** It ends, and this is the last that it has counted. */
  | { larder: 'last', snapshot: Snapshot }

/** Whether something that came from another process is one of these messages: other modules may talk over the same channel. */
export function isMessage (message: unknown): message is Order | Report {
  return typeof message === 'object' && message !== null && 'larder' in message
}
