import type { Passing } from '../../resilience.js'

const OUTAGES = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|UNBLOCKED|NOAUTH|NOPERM|WRONGPASS|NOREPLICAS|BUSY)\b/
/** Memory that is used up, and a disk: reads go on. */
const NO_ROOM = /^(OOM|MISCONF)\b/

/** Answers before anything was done: in a script the first write is refused, and there was none before it. */
const NOT_NOW = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b/
/** What the client says of a command that it has not sent. */
const UNSENT = /^(Stream isn't writeable|Cluster isn't ready) and enableOfflineQueue options is false$/
/** What it says of those that were on their way, and may have been carried out. Of the third it may not have sent them: that is not told apart. */
const LOST = /^(Reached the max retries per request limit|Command aborted due to connection close|Connection is closed\.)/

/** Anything but an answer of Redis that says the command itself was wrong. */
export function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name !== 'ReplyError' ? !(error instanceof TypeError) : OUTAGES.test(error.message)
}

/** What became of a command that failed for a reason that passes; undefined for other reasons, such as no answer in time. */
export function passing (error: unknown): Passing | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.name === 'ReplyError') return NOT_NOW.test(error.message) ? 'undone' : undefined
  return UNSENT.test(error.message) ? 'unsent' : LOST.test(error.message) ? 'lost' : undefined
}

export const isFull = ({ message }: Error): boolean => NO_ROOM.test(message)
