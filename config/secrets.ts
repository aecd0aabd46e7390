import type { Environment } from '../schemas/config.js'
import { type KeySource, KeyTextError, parseKeys } from '../services/cache/codec/key-source.js'
import { ConfigError } from './fault.js'

export interface AccessConfig {
  /** Whether every caller needs a credential. */
  required: boolean
  /** Treat every caller as a local one. */
  everyoneIsLocal: boolean
  administratorKey?: string
}

export interface ValetConfig {
  algorithm: Environment['VALET_ALGORITHM']
  /** Seconds. */
  defaultTtl: number
  /** The first one seals; undefined: one under `dataDir`. */
  secrets?: readonly string[]
}

/** What is done to entries outside the process. */
export interface AtRestConfig {
  serialization: Environment['CACHE_SERIALIZATION_FORMAT']
  compression: boolean
  encryption: boolean
  /** The first one writes; undefined when there is none. */
  keys?: readonly KeySource[]
}

/** What documents print in the place of a secret: everybody has read it. */
const SAMPLE_SECRET = /^(?:your[_-].*|change[_-]?me.*|(?:super)?secret|password|example)$/i
/** Characters below which a key can be guessed by who is let to try for long. */
const SHORT_SECRET = 16

export function accessOf ({ CACHE_AUTH_ENABLED: required, ALLOW_UNAUTHENTICATED: everyoneIsLocal, CACHE_API_KEY: administratorKey }: Environment, warnings: string[]): AccessConfig {
  if (required) {
    if (administratorKey === undefined) throw new ConfigError('CACHE_API_KEY', 'CACHE_AUTH_ENABLED=true needs an administrator: give CACHE_API_KEY a secret, as `openssl rand -base64 32` makes one.')
    if (SAMPLE_SECRET.test(administratorKey)) throw new ConfigError('CACHE_API_KEY', 'CACHE_API_KEY is a sample that everybody has read: make one of your own, with `openssl rand -base64 32`.')
    if (administratorKey.length < SHORT_SECRET) warnings.push(`CACHE_API_KEY has fewer than ${SHORT_SECRET} characters: make a longer one, with \`openssl rand -base64 32\`.`)
  }
  return { required, everyoneIsLocal, ...(administratorKey !== undefined && { administratorKey }) }
}

/** Secrets that one list may have: one in use, and those before it that are on their way out. */
const MAX_SECRETS = 8

export function valetOf ({ SECRET_KEY, CACHE_AUTH_ENABLED: required, VALET_ALGORITHM: algorithm, VALET_TOKEN_TTL: defaultTtl, WORKERS }: Environment, isServer: boolean, warnings: string[]): ValetConfig {
  const make = 'make one with `openssl rand -base64 32`'
  if (SECRET_KEY === undefined) {
    if (required && WORKERS > 1) throw new ConfigError('SECRET_KEY', `CACHE_AUTH_ENABLED=true with several processes needs SECRET_KEY, the same for all: ${make}.`)
    // Whether other machines use the database too cannot be known: they would each make a file of their own.
    if (required && isServer) warnings.push(`SECRET_KEY is not given, so one is kept under DATA_DIR: processes on other machines do not accept the valet keys of this one until all get the same SECRET_KEY (${make}).`)
    return { algorithm, defaultTtl }
  }
  const secrets = SECRET_KEY.split(',').map((part) => part.trim())
  if (secrets.includes('') || new Set(secrets).size < secrets.length || secrets.length > MAX_SECRETS) {
    throw new ConfigError('SECRET_KEY', `SECRET_KEY must be one secret, or up to ${MAX_SECRETS} different ones with commas between, the new one first.`)
  }
  const isSample = secrets.some((secret) => SAMPLE_SECRET.test(secret))
  if (required && isSample) throw new ConfigError('SECRET_KEY', `SECRET_KEY is a sample that everybody has read: ${make}.`)
  if (isSample || secrets.some((secret) => secret.length < SHORT_SECRET)) warnings.push(`SECRET_KEY can be guessed: ${make}.`)
  return { algorithm, defaultTtl, secrets }
}

export function atRestOf (values: Environment): AtRestConfig {
  const { CACHE_SERIALIZATION_FORMAT: serialization, CACHE_COMPRESSION_ENABLED: compression, CACHE_ENCRYPTION_ENABLED: encryption } = values
  const keys = keysOf(values)
  if (encryption && keys === undefined) {
    throw new ConfigError('CACHE_ENCRYPTION_KEY', 'CACHE_ENCRYPTION_ENABLED=true needs CACHE_ENCRYPTION_KEY: make a key with: openssl rand -base64 32')
  }
  return { serialization, compression, encryption, ...(keys && { keys }) }
}

function keysOf ({ CACHE_ENCRYPTION_KEY }: Environment): KeySource[] | undefined {
  if (CACHE_ENCRYPTION_KEY === undefined) return undefined
  try {
    return parseKeys(CACHE_ENCRYPTION_KEY)
  } catch (error) {
    if (error instanceof KeyTextError) throw new ConfigError('CACHE_ENCRYPTION_KEY', `CACHE_ENCRYPTION_KEY ${error.message}.`)
    throw error
  }
}
