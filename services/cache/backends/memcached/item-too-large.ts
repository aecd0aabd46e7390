import { EntryTooLargeError } from '../../errors.js'

/** The entry is larger than the server takes for one item. What was stored under the key before may be gone. */
export class ItemTooLargeError extends EntryTooLargeError {
  constructor (size: number, limit: number) {
    super(size, limit)
    this.message = `The entry takes ${size} bytes, more than the ${limit} that memcached takes for an item: store less under this key, or start memcached with a larger -I.`
  }
}
