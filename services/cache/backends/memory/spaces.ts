import type { Ledger, NamespaceLedger } from '../../ledger.js'
import { hashKey } from '../../policies/hash.js'

/** A namespace that holds something. */
export interface Space {
  readonly name: string
  /** What slots say it by. */
  readonly number: number
  /** What the hashes of its keys begin with. */
  readonly salt: number
  readonly ledger: NamespaceLedger
  items: number
  bytes: number
}

/** The namespaces that hold something, by name and by a small number. */
export class Spaces {
  #ledger: Ledger
  #byName = new Map<string, Space>()
  #byNumber: (Space | undefined)[] = []
  #free: number[] = []
  /** What was asked for last, which is often asked for next. */
  #last: Space | undefined

  constructor (ledger: Ledger) { this.#ledger = ledger }

  get (name: string): Space | undefined {
    if (this.#last !== undefined && this.#last.name === name) return this.#last
    this.#last = this.#byName.get(name)
    return this.#last
  }

  at (number: number): Space | undefined { return number < 0 ? undefined : this.#byNumber[number] }

  /** The namespace, made when it is not there. */
  open (name: string): Space {
    let space = this.get(name)
    if (space === undefined) {
      const number = this.#free.pop() ?? this.#byNumber.length
      space = { name, number, salt: hashKey(name), ledger: this.#ledger.namespace(name), items: 0, bytes: 0 }
      this.#byName.set(name, space)
      this.#byNumber[number] = space
      this.#last = space
    }
    return space
  }

  drop ({ name, number }: Space): void {
    this.#last = undefined
    this.#byName.delete(name)
    this.#byNumber[number] = undefined
    this.#free.push(number)
  }
}
