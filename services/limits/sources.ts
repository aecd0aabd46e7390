import { isIPv6 } from 'node:net'

/** Where everything counts as coming from that has no address: a Unix socket, or what a proxy calls unknown. */
const NOWHERE = 'nowhere'
/** Of `255.255.255.255`. */
const LONGEST_IPV4 = 15

/**
 * The name of where a request comes from: IPv4 as it is, also where it is written within IPv6, and of IPv6 the network of 64 bits, which
 * belongs to one subscriber.
 */
export function sourceOf (address: string | undefined): string {
  if (address === undefined || address === '') return NOWHERE
  if (!address.includes(':')) return address.length <= LONGEST_IPV4 ? address : NOWHERE
  const [plain = ''] = address.split('%', 1) // without a zone
  if (!isIPv6(plain)) return NOWHERE
  const words = wordsOf(plain)
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return words.slice(6).flatMap((word) => [word >> 8, word & 255]).join('.')
  }
  return `${words.slice(0, 4).map((word) => word.toString(16)).join(':')}::/64`
}

/** The eight words of a valid IPv6 address. */
function wordsOf (address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const hex = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16)
  const text = dotted === null ? address : `${dotted[1]}${hex(dotted[2]!, dotted[3]!)}:${hex(dotted[4]!, dotted[5]!)}`
  const [head = '', tail] = text.split('::')
  const parse = (part: string): number[] => part === '' ? [] : part.split(':').map((word) => parseInt(word, 16))
  const [front, back] = [parse(head), parse(tail ?? '')]
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back]
}
