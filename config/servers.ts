import { isIP } from 'node:net'
import type { Environment } from '../schemas/config.js'
import { ConfigError } from './fault.js'
import { type Name, parseUrl } from './values.js'

/** What `db` and `password` do not say, the URL does. */
export interface RedisConfig { url: string, db?: number, username?: string, password?: string, several?: RedisNodes }

/** Several servers of Redis: of a cluster, or the sentinels that know where the master is. */
export interface RedisNodes {
  nodes: { host: string, port: number }[]
  tls: boolean
  /** The name that the sentinels watch the master under; undefined for a cluster. */
  master?: string
  sentinelPassword?: string
}

export function databaseOf (values: Environment, given: (name: Name) => boolean, warnings: string[]): string | undefined {
  const { DATABASE_URL, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME } = values
  const parts = (['DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME'] as const).filter(given)
  if (DATABASE_URL !== undefined) {
    parseUrl('DATABASE_URL', DATABASE_URL)
    if (DB_HOST !== undefined) warnings.push(`${parts.join(', ')}: not used, since DATABASE_URL is given.`)
    return DATABASE_URL
  }
  if (DB_HOST === undefined) {
    if (parts.length > 0) warnings.push(`${parts.join(', ')}: not used without DB_HOST.`)
    return undefined
  }
  const user = [DB_USER, ...(DB_PASSWORD === undefined ? [] : [DB_PASSWORD])].map(encodeURIComponent).join(':')
  const url = `postgres://${user}@${isIP(DB_HOST) === 6 ? `[${DB_HOST}]` : DB_HOST}:${DB_PORT}/${encodeURIComponent(DB_NAME)}`
  if (!URL.canParse(url)) throw new ConfigError('DB_HOST', `DB_HOST must be an address or a host name, not ${JSON.stringify(DB_HOST)}.`)
  return url
}

export function redisOf (values: Environment, given: (name: Name) => boolean, warnings: string[]): RedisConfig | undefined {
  const { REDIS_URL, REDIS_DB, REDIS_PASSWORD } = values
  if (REDIS_URL === undefined) {
    if (REDIS_DB !== 0 || REDIS_PASSWORD !== undefined) warnings.push('REDIS_DB and REDIS_PASSWORD are not used without REDIS_URL.')
    return undefined
  }
  const [, scheme = '', kind] = /^(rediss?)(\+cluster|\+sentinel)?:/.exec(REDIS_URL) ?? []
  const urls = REDIS_URL.split(',').map((part, at) => parseUrl('REDIS_URL', part.includes('://') ? part.replace(/^(rediss?)\+\w+/, '$1') : `${at === 0 ? '' : `${scheme}://`}${part}`))
  const [first] = urls as [URL]
  const last = urls.at(-1) as URL
  if (urls.some(({ protocol, hostname }) => protocol !== `${scheme}:` || hostname === '')) throw new ConfigError('REDIS_URL', 'REDIS_URL must name a host in each part, all with redis:// or all with rediss://.')
  if (urls.slice(0, -1).some(({ pathname, search }) => pathname.replace('/', '') !== '' || search !== '')) throw new ConfigError('REDIS_URL', 'REDIS_URL must have what is not a host or a credential at its end.')
  const path = last.pathname.replace(/^\//, '')
  const [name = '', number = ''] = kind === '+sentinel' ? path.split('/') : ['', path]
  if (kind === '+sentinel' && name === '') throw new ConfigError('REDIS_URL', 'REDIS_URL with +sentinel must end with the name of the master, such as redis+sentinel://host1:26379,host2:26379/mymaster.')
  if (!/^\d*$/.test(number)) throw new ConfigError('REDIS_URL', 'REDIS_URL must end with the number of a database, such as redis://localhost:6379/0, or with none.')
  if (given('REDIS_DB') && number !== '' && Number(number) !== REDIS_DB) {
    throw new ConfigError('REDIS_DB', `REDIS_DB=${REDIS_DB} and the ${number} in REDIS_URL disagree: give one of them.`)
  }
  const { username, password } = urls.find((url) => url.password !== '') ?? first
  if (REDIS_PASSWORD !== undefined && password !== '' && decodeURIComponent(password) !== REDIS_PASSWORD) {
    throw new ConfigError('REDIS_PASSWORD', 'REDIS_PASSWORD and the password in REDIS_URL disagree: give one of them.')
  }
  const login = {
    ...(given('REDIS_DB') && { db: REDIS_DB }),
    ...(REDIS_PASSWORD !== undefined && { password: REDIS_PASSWORD })
  }
  if (kind === undefined && urls.length === 1) return { url: REDIS_URL, ...login }

  const isSentinel = kind === '+sentinel'
  if (!isSentinel && (Number(number) !== 0 || REDIS_DB !== 0)) throw new ConfigError('REDIS_DB', 'REDIS_DB, and the number in REDIS_URL, must be 0 or left out for a Redis Cluster: it has no other database.')
  const sentinelPassword = last.searchParams.get('sentinel_password')
  return {
    url: REDIS_URL,
    ...(isSentinel && number !== '' && { db: Number(number) }),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...login,
    several: {
      nodes: urls.map(({ hostname, port }) => ({ host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || (isSentinel ? 26_379 : 6379)) })),
      tls: scheme === 'rediss',
      ...(isSentinel && { master: decodeURIComponent(name) }),
      ...(sentinelPassword !== null && { sentinelPassword })
    }
  }
}
