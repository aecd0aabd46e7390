/** The three forms of RFC 9110, section 5.6.7: that of today, that of RFC 850, and that of asctime. */
const FIXED = /^[a-z]{3}, \d{2} [a-z]{3} \d{4} \d{2}:\d{2}:\d{2} gmt$/i
const RFC_850 = /^([a-z]{6,9}, \d{2}-[a-z]{3}-)(\d{2})( \d{2}:\d{2}:\d{2} gmt)$/i
const ASCTIME = /^[a-z]{3} [a-z]{3} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/i

/** Milliseconds since the epoch; NaN for what is no date. A year of two digits that would be more than fifty ahead is in the past. */
export function parseHttpDate (text: string | undefined): number {
  if (text === undefined) return NaN
  if (FIXED.test(text)) return Date.parse(text)
  if (ASCTIME.test(text)) return Date.parse(`${text} GMT`)
  const [, day, digits, time] = RFC_850.exec(text) ?? []
  if (digits === undefined) return NaN
  const year = 2000 + Number(digits)
  return Date.parse(`${day}${year > new Date().getUTCFullYear() + 50 ? year - 100 : year}${time}`)
}
