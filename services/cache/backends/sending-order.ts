import type { MaybePromise } from '../stores/store.js'

/** A change on its way: whether a later one of the same key has been asked for since. */
export interface Sending { isOvertaken: boolean }

/**
 * Sends the changes of one key in the order in which they were asked for, though a large value takes a while to be packed. What
 * needs no time and follows nothing is sent at once. Each learns whether a later one was asked for, behind which it must not be sent again.
 */
export class SendingOrder {
  /** By name, what settles when the last change asked for has been sent. */
  #sent = new Map<string, Promise<unknown>>()
  /** By name, the last change asked for. */
  #last = new Map<string, Sending>()

  /** @param send begins to send before it gives control back, so that what follows cannot overtake it */
  async take<Prepared, Answer> (name: string, prepared: MaybePromise<Prepared>, send: (prepared: Prepared, sending: Sending) => Promise<Answer>): Promise<Answer> {
    const sending: Sending = { isOvertaken: false }
    const last = this.#last.get(name)
    if (last !== undefined) last.isOvertaken = true
    this.#last.set(name, sending)
    try {
      return await this.#take(name, prepared, async (ready) => await send(ready, sending))
    } finally {
      if (this.#last.get(name) === sending) this.#last.delete(name)
    }
  }

  async #take<Prepared, Answer> (name: string, prepared: MaybePromise<Prepared>, send: (prepared: Prepared) => Promise<Answer>): Promise<Answer> {
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
