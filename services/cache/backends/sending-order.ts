import type { MaybePromise } from '../stores/store.js'

/**
 * Sends the changes of one key in the order in which they were asked for, though a large value takes a while to be packed. What
 * needs no time and follows nothing is sent at once.
 */
export class SendingOrder {
  /** By name, what settles when the last change asked for has been sent. */
  #sent = new Map<string, Promise<unknown>>()

  /** @param send begins to send before it gives control back, so that what follows cannot overtake it */
  async take<Prepared, Answer> (name: string, prepared: MaybePromise<Prepared>, send: (prepared: Prepared) => Promise<Answer>): Promise<Answer> {
    const before = this.#sent.get(name)
    if (before === undefined && !(prepared instanceof Promise)) return await send(prepared)
    // In an object, since the promise of an answer would be waited for.
    const mine = Promise.all([prepared, before]).then(([ready]) => ({ answer: send(ready) }))
    // What comes next is sent also after one that could not be prepared.
    const sent = mine.then(() => {}, () => {})
    this.#sent.set(name, sent)
    try {
      return await (await mine).answer
    } finally {
      if (this.#sent.get(name) === sent) this.#sent.delete(name)
    }
  }
}
