/**
 * On whose behalf the cache is asked: `{ signal }`, an AbortController, or whatever else has a `signal`. That is looked at only where something is waited for, or another
 * step is to follow: where it is made when it is asked for, a hit costs nothing more.
 */
export interface Caller {
  /** Once it is aborted nothing is begun for the caller any more, and waits end, with the signal's reason. What has been sent is not recalled. */
  readonly signal?: AbortSignal | undefined
}

/** Those who are to be told when a signal is aborted. One listener for all of them: Node warns of more than ten. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Has `leave` called when the signal is aborted, unless it is already.
 * @returns takes that back
 */
export function onLeaving (signal: AbortSignal, leave: () => void): () => void {
  const others = waiting.get(signal) ?? listened(signal)
  others.add(leave)
  return () => { others.delete(leave) }
}

function listened (signal: AbortSignal): Set<() => void> {
  const all = new Set<() => void>()
  waiting.set(signal, all)
  signal.addEventListener('abort', () => { for (const leave of [...all]) leave() }, { once: true })
  return all
}

/** Between two steps. @throws the signal's reason once the caller has gone */
export function throwIfGone (caller: Caller | undefined): void { caller?.signal?.throwIfAborted() }

/** Whether an error says that the caller has gone, and nothing of what was asked. */
export function isLeaving (error: unknown, caller: Caller | undefined): boolean {
  const signal = caller?.signal
  return signal?.aborted === true && error === signal.reason
}

/**
 * What comes of the work, unless the caller leaves before.
 * @param givesUp asked then whether the work is given up: it goes on by itself, or is not begun. Default: it is
 * @throws the signal's reason where it is, and what the work throws
 */
export async function unlessGone<T> (work: Promise<T>, caller: Caller | undefined, givesUp: () => boolean = () => true): Promise<T> {
  const signal = caller?.signal
  if (signal === undefined) return await work
  return await new Promise<T>((resolve, reject) => {
    const leave = (): void => { if (givesUp()) reject(signal.reason as Error) }
    const stay = onLeaving(signal, leave)
    if (signal.aborted) leave()
    work.then(resolve, reject).finally(stay)
  })
}

/** What comes, for as long as the caller is there: nothing more is asked for then. @throws the signal's reason */
export async function * whileThere<T> (portions: AsyncIterable<T>, caller: Caller | undefined): AsyncGenerator<T> {
  for await (const portion of portions) {
    throwIfGone(caller)
    yield portion
  }
}
