/** What a list is held to. */
export interface KeyFilter {
  /** `live` is what opens something; empty is all. */
  state: string
  text: string
}

/** The newest that are read at first, and at most. */
export const FIRST_KEYS = 100
export const ALL_KEYS = 1000

/** Those in the state that is asked for in which one of the texts has all words. */
export function filterKeys<Key> (keys: readonly Key[], { state, text }: KeyFilter, of: { state: (key: Key) => string, texts: (key: Key) => (string | null)[] }): Key[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  return keys.filter((key) => {
    if (state === 'live' ? of.state(key) !== 'live' : state === 'past' && of.state(key) === 'live') return false
    const searched = of.texts(key).filter((each) => each !== null).join(' ').toLowerCase()
    return words.every((word) => searched.includes(word))
  })
}
