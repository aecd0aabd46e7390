const OUTAGES = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|UNBLOCKED|NOAUTH|NOPERM|WRONGPASS|NOREPLICAS|BUSY)\b/
/** Memory that is used up, and a disk: reads go on. */
const NO_ROOM = /^(OOM|MISCONF)\b/

/** Anything but an answer of Redis that says the command itself was wrong. */
export function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name !== 'ReplyError' ? !(error instanceof TypeError) : OUTAGES.test(error.message)
}

export const isFull = ({ message }: Error): boolean => NO_ROOM.test(message)
