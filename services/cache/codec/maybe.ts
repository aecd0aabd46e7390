import type { MaybePromise } from '../stores/store.js'

/** Goes on with a value now if it is there now. */
export function after<T, R> (value: MaybePromise<T>, goOn: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(goOn) : goOn(value)
}
