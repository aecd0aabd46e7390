import { lookup as resolve, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { AddressList } from '../access/address-list.js'
import { UnsupportedHereError } from '../errors.js'

export interface OutgoingGuardOptions {
  /** Names of the hosts that may be called: `hooks.example.com`, `*.example.com` for those under it, `*` for any. Default none. */
  hosts?: readonly string[]
  /** Addresses and ranges that may be called although they are not public, over plain HTTP as well. Default none. */
  addresses?: readonly string[]
}

/** What is not public: RFC 6890 and the registries of special-purpose addresses, and what holds an IPv4 address within an IPv6 one. */
const SPECIAL: readonly [address: string, bits: number, family: 'ipv4' | 'ipv6'][] = [
  ['0.0.0.0', 8, 'ipv4'], ['10.0.0.0', 8, 'ipv4'], ['100.64.0.0', 10, 'ipv4'], ['127.0.0.0', 8, 'ipv4'], ['169.254.0.0', 16, 'ipv4'], ['172.16.0.0', 12, 'ipv4'],
  ['192.0.0.0', 24, 'ipv4'], ['192.0.2.0', 24, 'ipv4'], ['192.88.99.0', 24, 'ipv4'], ['192.168.0.0', 16, 'ipv4'], ['198.18.0.0', 15, 'ipv4'], ['198.51.100.0', 24, 'ipv4'],
  ['203.0.113.0', 24, 'ipv4'], ['224.0.0.0', 4, 'ipv4'], ['240.0.0.0', 4, 'ipv4'],
  ['::', 96, 'ipv6'], ['64:ff9b::', 96, 'ipv6'], ['64:ff9b:1::', 48, 'ipv6'], ['100::', 64, 'ipv6'], ['2001::', 23, 'ipv6'], ['2001:db8::', 32, 'ipv6'], ['2002::', 16, 'ipv6'],
  ['3fff::', 20, 'ipv6'], ['5f00::', 16, 'ipv6'], ['fc00::', 7, 'ipv6'], ['fe80::', 10, 'ipv6'], ['fec0::', 10, 'ipv6'], ['ff00::', 8, 'ipv6']
]

/**
 * Whom Larder may call (OWASP API7:2023, server-side request forgery): hosts that were allowed by name, at addresses that are public or
 * were allowed. The address is looked at as the connection is made, since a name may lead elsewhere by then.
 */
export class OutgoingGuard {
  readonly #hosts: readonly string[]
  readonly #allowed: AddressList
  readonly #special = new BlockList()

  constructor ({ hosts = [], addresses = [] }: OutgoingGuardOptions = {}) {
    this.#hosts = hosts.map((host) => host.toLowerCase())
    this.#allowed = new AddressList(addresses)
    for (const [address, bits, family] of SPECIAL) this.#special.addSubnet(address, bits, family)
  }

  /** Whether anybody may be called at all. */
  get isOpen (): boolean {
    return this.#hosts.length > 0 || this.#allowed.texts.length > 0
  }

  /** @throws UnsupportedHereError for an address that may not be called, as far as its text tells */
  check (text: string): URL {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined) throw refusal('is no URL')
    if (url.username !== '' || url.password !== '') throw refusal('may not hold a credential: the signature says who sends it')
    const host = hostOf(url)
    const isAllowedAddress = isIP(host) !== 0 && this.#allowed.covers(host)
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isAllowedAddress)) throw refusal('must be of https')
    if (isIP(host) !== 0 ? !isAllowedAddress : !this.#isAllowedName(host)) throw refusal(`leads to ${host}, which is not among WEBHOOK_HOSTS or WEBHOOK_ADDRESSES`)
    url.hash = ''
    return url
  }

  /** For the connection: resolves the name, and fails where that leads to what is not public. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error !== null) return callback(error, '', 0)
      const forbidden = found.find(({ address }) => !this.#isPublic(address) && !this.#allowed.covers(address))
      if (forbidden !== undefined || found.length === 0) return callback(Object.assign(new Error('The name leads to an address that may not be called'), { code: 'ERR_ADDRESS_FORBIDDEN' }), '', 0)
      if (options.all === true) callback(null, found)
      else callback(null, found[0]!.address, found[0]!.family)
    })
  }

  #isAllowedName (host: string): boolean {
    return this.#hosts.some((allowed) => allowed === '*' || allowed === host || (allowed.startsWith('*.') && host.endsWith(allowed.slice(1))))
  }

  /** The block list folds IPv4 addresses that are written as IPv6 ones. */
  #isPublic (address: string): boolean {
    return !this.#special.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  }
}

function hostOf ({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '').toLowerCase()
}

function refusal (why: string): Error {
  return new UnsupportedHereError(`The URL ${why}.`)
}
