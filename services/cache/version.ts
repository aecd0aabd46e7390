import { randomInt } from 'node:crypto'

const EPOCH = Date.UTC(2024, 0, 1)
const WRITERS = 2 ** 14
/** Both halves of a version split here are small integers, which print several times faster than large ones. */
const HALF = 2 ** 26

/**
 * Makes the versions of entries: 39 bits of milliseconds since 2024 and 14 bits that tell this process from others, in one
 * number that a double holds exactly. Within a process no version comes twice (a burst runs ahead of the clock); two processes
 * share one only if they drew the same 14 bits and write the same key in the same millisecond.
 */
export function versionSource (now: () => number): () => number {
  const writer = randomInt(WRITERS)
  let last = 0
  return () => {
    const tick = Math.floor(now() - EPOCH)
    last = tick > last ? tick : last + 1
    return last * WRITERS + writer
  }
}

/** The text that callers see and send back in `If-Match`. */
export const formatVersion = (version: number): string => `${Math.floor(version / HALF)}v${version % HALF}`

/** The number behind the text, or NaN (which equals no version) for a text that is none. */
export function parseVersion (text: string): number {
  const parts = /^(\d{1,9})v(\d{1,8})$/.exec(text)
  return parts === null ? NaN : Number(parts[1]) * HALF + Number(parts[2])
}
