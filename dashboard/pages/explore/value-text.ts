import type { CacheDataType } from '../../../schemas/cache.js'

/** Characters that are shown before somebody asks for all of them. */
export const SHOWN = 20_000
const BYTES_A_LINE = 16

export const isStructured = (type: CacheDataType): boolean => type === 'json' || type === 'list' || type === 'dictionary'

/** A value as it is edited, downloaded and shown. Of `binary` its base64 text. */
export function textOf (value: unknown, type: CacheDataType): string {
  return typeof value === 'string' && !isStructured(type) ? value : JSON.stringify(value, null, 2)
}

/** The beginning of a text, whole characters alone. */
export function beginning (text: string, most = SHOWN): string {
  if (text.length <= most) return text
  const last = text.charCodeAt(most - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most)
}

/** Bytes as `hexdump -C` shows them: place, sixteen bytes, and what of them is ASCII. */
export function hexDump (bytes: Uint8Array, most = 256): string {
  const lines: string[] = []
  for (let at = 0; at < Math.min(bytes.length, most); at += BYTES_A_LINE) {
    const line = [...bytes.subarray(at, Math.min(at + BYTES_A_LINE, most))]
    const digits = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = line.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.').join('')
    lines.push(`${at.toString(16).padStart(6, '0')}  ${digits.padEnd(BYTES_A_LINE * 3 - 1)}  ${text}`)
  }
  return lines.join('\n')
}

/** What is left of a TTL, to the second: `13 min 20 s`. @param seconds undefined: it never expires */
export function timeLeft (seconds: number | undefined): string {
  if (seconds === undefined) return 'never expires'
  if (seconds <= 0) return 'expired'
  const whole = Math.ceil(seconds)
  const units: readonly [number, string][] = [[Math.floor(whole / 86_400), 'd'], [Math.floor(whole / 3600) % 24, 'h'], [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']]
  const first = units.findIndex(([count]) => count > 0)
  return units.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(' ')
}

/** A name for a file with the value; what a system might take for something else is left out. */
export function fileNameOf (key: string, type: CacheDataType): string {
  const name = key.replace(/[^\p{L}\p{N}._-]+/gu, '_').replace(/^[._]+/, '').slice(0, 80)
  return `${name === '' ? 'value' : name}.${type === 'binary' ? 'bin' : isStructured(type) ? 'json' : 'txt'}`
}
