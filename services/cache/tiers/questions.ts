import type { StoredEntry } from '../entry.js'
import type { DurableTier } from './tier.js'

/** Asks a tier for entries: keys that are asked for in one turn of the event loop are asked for together. */
export class Questions {
  /** By namespace. */
  #waiting = new Map<string, { keys: string[], answers: Promise<(StoredEntry | undefined)[]> }>()

  async ask (tier: DurableTier, namespace: string, key: string): Promise<StoredEntry | undefined> {
    let question = this.#waiting.get(namespace)
    if (question === undefined) {
      const keys: string[] = []
      const answers = Promise.resolve().then(async () => {
        this.#waiting.delete(namespace)
        return await tier.getMany(namespace, keys)
      })
      question = { keys, answers }
      this.#waiting.set(namespace, question)
    }
    const at = question.keys.push(key) - 1
    return (await question.answers)[at]
  }
}
