import { BlockList, isIP, SocketAddress } from 'node:net'

type Family = 'ipv4' | 'ipv6'
interface Range { readonly address: string, readonly family: Family, readonly prefix: number, readonly list: BlockList }

/**
 * Addresses that a credential may be used from: single ones, or ranges as in `10.0.0.0/8` and `2001:db8::/32` (CIDR, RFC 4632). IPv4
 * addresses written as IPv6 ones (`::ffff:10.0.0.1`) are the IPv4 addresses.
 */
export class AddressList {
  /** As they were given. */
  readonly texts: readonly string[]
  readonly #ranges: readonly Range[]

  /** @throws TypeError for a text that is neither an address nor a range */
  constructor (texts: Iterable<string>) {
    this.texts = [...new Set(texts)].sort()
    this.#ranges = this.texts.map(rangeOf)
  }

  covers (address: string): boolean {
    const folded = fold(address.replace(/%.*$/, ''))
    return folded !== undefined && this.#ranges.some(({ list }) => list.check(folded.address, folded.family))
  }

  /** Whether every address of the other is among these. A range is looked for in single ranges: two halves do not make a whole. */
  includes (other: AddressList): boolean {
    return other.#ranges.every(({ address, family, prefix }) =>
      this.#ranges.some((range) => range.family === family && range.prefix <= prefix && range.list.check(address, family)))
  }
}

/** Whether the text is an address, or a range of addresses. */
export function isAddressRange (text: string): boolean {
  try {
    rangeOf(text)
    return true
  } catch {
    return false
  }
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/
/** Bits in front of an IPv4 address that is written as an IPv6 one. */
const MAPPED_BITS = 96

function rangeOf (text: string): Range {
  const [, base = '', bits] = /^([0-9a-f:.]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(text) ?? []
  const family = isIP(base)
  if (family === 0) throw new TypeError(`${text} is neither an address nor a range of addresses`)
  const width = family === 4 ? 32 : 128
  const given = bits === undefined ? width : Number(bits)
  if (given > width) throw new TypeError(`${text} has more bits than an address`)
  const folded = fold(base)!
  // A range of IPv6 that is wider than the mapped addresses holds more than IPv4 has.
  const isMapped = family === 6 && folded.family === 'ipv4' && given >= MAPPED_BITS
  const range = family === 6 && !isMapped ? { address: base, family: 'ipv6' as const } : folded
  const prefix = isMapped ? given - MAPPED_BITS : given
  const list = new BlockList()
  list.addSubnet(range.address, prefix, range.family)
  return { ...range, prefix, list }
}

function fold (address: string): { address: string, family: Family } | undefined {
  const family = isIP(address)
  if (family === 0) return undefined
  if (family === 4) return { address, family: 'ipv4' }
  const mapped = MAPPED.exec(new SocketAddress({ address, family: 'ipv6' }).address)?.[1]
  return mapped === undefined ? { address, family: 'ipv6' } : { address: mapped, family: 'ipv4' }
}
