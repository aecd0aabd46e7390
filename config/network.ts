import { accessSync, constants, readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Environment } from '../schemas/config.js'
import { parseRates, type Rate, RateTextError } from '../services/limits/rates.js'
import { isAddressRange } from '../services/access/address-list.js'
import { ConfigError, reason } from './fault.js'

/** Paths of PEM files. */
export interface TlsFiles { certFile: string, keyFile: string }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

export function hostOf ({ HOST, ALLOW_UNAUTHENTICATED, CACHE_AUTH_ENABLED }: Environment): string {
  // For `localhost` Fastify would open a second server, on ::1, without the handlers of the first.
  const host = HOST.replace(/^\[(.*)\]$/, '$1').replace(/^localhost$/i, '127.0.0.1')
  const family = isIP(host)
  if (family === 0 && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) {
    throw new ConfigError('HOST', `HOST must be an address or a host name, without scheme or port, not ${JSON.stringify(HOST)}.`)
  }
  const local = family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4')
  if (!local && !ALLOW_UNAUTHENTICATED && !CACHE_AUTH_ENABLED) {
    throw new ConfigError('HOST', `HOST=${host} can be reached from other machines, and authentication is off: give a loopback address such as 127.0.0.1, set CACHE_AUTH_ENABLED=true, or set ALLOW_UNAUTHENTICATED=true where only trusted callers get through.`)
  }
  return host
}

export function ratesOf (name: 'RATE_LIMITS' | 'FAILED_LOGIN_LIMITS', { [name]: text }: Environment): Rate[] {
  try {
    return parseRates(text)
  } catch (error) {
    if (error instanceof RateTextError) throw new ConfigError(name, `${name} ${error.message}.`)
    throw error
  }
}

/** Networks, and nothing that would believe everybody: a number of hops is no address, and whoever is near could lie. */
export function proxiesOf ({ TRUSTED_PROXIES = '' }: Environment): string[] {
  return TRUSTED_PROXIES.split(',').map((part) => part.trim()).filter((part) => part !== '').map((proxy) => {
    const [address = '', bits, ...more] = proxy.split('/')
    const family = isIP(address)
    const isNetwork = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (family === 6 ? 128 : 32))
    if (family === 0 || !isNetwork || more.length > 0) {
      throw new ConfigError('TRUSTED_PROXIES', `TRUSTED_PROXIES must list addresses and networks of proxies, like 10.0.0.0/8,192.0.2.7, not ${JSON.stringify(proxy)}: numbers of hops and \`true\` would believe what anybody writes.`)
    }
    return proxy
  })
}

export function webhooksOf ({ WEBHOOK_HOSTS = '', WEBHOOK_ADDRESSES = '' }: Environment): { hosts: string[], addresses: string[] } {
  const list = (text: string): string[] => text.split(',').map((part) => part.trim()).filter((part) => part !== '')
  const hosts = list(WEBHOOK_HOSTS)
  const noHost = hosts.find((host) => host !== '*' && (isIP(host) !== 0 || !/^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/i.test(host)))
  if (noHost !== undefined) throw new ConfigError('WEBHOOK_HOSTS', `WEBHOOK_HOSTS must list names of hosts, like hooks.example.com,*.example.org, not ${JSON.stringify(noHost)}: addresses stand in WEBHOOK_ADDRESSES.`)
  const addresses = list(WEBHOOK_ADDRESSES)
  const noAddress = addresses.find((address) => !isAddressRange(address))
  if (noAddress !== undefined) throw new ConfigError('WEBHOOK_ADDRESSES', `WEBHOOK_ADDRESSES must list addresses and networks, like 10.1.2.0/24,192.0.2.7, not ${JSON.stringify(noAddress)}.`)
  return { hosts, addresses }
}

export function originsOf ({ ALLOWED_ORIGINS = '', CACHE_AUTH_ENABLED }: Environment): string[] {
  return ALLOWED_ORIGINS.split(',').map((part) => part.trim()).filter((part) => part !== '').map((origin) => {
    if (origin === '*') {
      if (CACHE_AUTH_ENABLED) return origin
      throw new ConfigError('ALLOWED_ORIGINS', 'ALLOWED_ORIGINS=* would let every web page use the cache while authentication is off: list the origins, such as http://localhost:3000.')
    }
    const url = URL.canParse(origin) ? new URL(origin) : undefined
    if (!url || url.origin === 'null' || url.href !== `${url.origin}/` || origin.endsWith('/')) {
      throw new ConfigError('ALLOWED_ORIGINS', `ALLOWED_ORIGINS must list origins like https://example.com, without path, separated by commas, not ${JSON.stringify(origin)}.`)
    }
    return url.origin
  })
}

export function tlsFiles ({ TLS_CERT_FILE, TLS_KEY_FILE }: Environment): TlsFiles | undefined {
  if (TLS_CERT_FILE === undefined && TLS_KEY_FILE === undefined) return undefined
  if (TLS_CERT_FILE === undefined) throw new ConfigError('TLS_CERT_FILE', 'TLS_KEY_FILE needs TLS_CERT_FILE: give both, or neither.')
  if (TLS_KEY_FILE === undefined) throw new ConfigError('TLS_KEY_FILE', 'TLS_CERT_FILE needs TLS_KEY_FILE: give both, or neither.')
  for (const [name, file] of [['TLS_CERT_FILE', TLS_CERT_FILE], ['TLS_KEY_FILE', TLS_KEY_FILE]] as const) {
    try {
      accessSync(file, constants.R_OK)
      createSecureContext({ [name === 'TLS_CERT_FILE' ? 'cert' : 'key']: readFileSync(file) })
    } catch (error) {
      throw new ConfigError(name, `${name}=${file} cannot be used (${reason(error)}): give a PEM file that Larder can read.`)
    }
  }
  try {
    createSecureContext({ cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE) })
  } catch (error) {
    throw new ConfigError('TLS_KEY_FILE', `TLS_KEY_FILE is not the key of TLS_CERT_FILE (${reason(error)}): give a pair.`)
  }
  return { certFile: TLS_CERT_FILE, keyFile: TLS_KEY_FILE }
}
