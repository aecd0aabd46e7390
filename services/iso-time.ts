const SLOTS = 64
const seconds = new Float64Array(SLOTS).fill(NaN)
const texts = new Array<string>(SLOTS).fill('')

/**
 * ISO 8601 in UTC of milliseconds since the epoch, as `Date.prototype.toISOString` writes it. The text of a second is made
 * once and kept a while: moments that are written out together mostly share it, and a Date costs twenty times as much.
 */
export function isoTime (milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  const slot = ((second % SLOTS) + SLOTS) % SLOTS
  if (seconds[slot] !== second) {
    texts[slot] = new Date(second * 1000).toISOString().slice(0, -4)
    seconds[slot] = second
  }
  const rest = Math.floor(milliseconds - second * 1000)
  return `${texts[slot]}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
}
