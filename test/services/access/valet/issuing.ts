import { createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import { CredentialStore } from '../../../../services/access/credential-store.js'
import type { Principal } from '../../../../services/access/principal.js'
import { ScopeSet } from '../../../../services/access/scopes.js'
import { Sealer } from '../../../../services/access/valet/sealer.js'
import type { Algorithm } from '../../../../services/access/valet/signing-key.js'
import { boundTo, PURPOSE, SigningKeys } from '../../../../services/access/valet/signing-keys.js'
import { ValetKeys } from '../../../../services/access/valet/valet-keys.js'
import { ValetLedger } from '../../../../services/access/valet/valet-ledger.js'
import type { Database } from '../../../../services/database.js'
import type { Owner } from '../../../support/servers.js'

export const SECRET = 'a-secret-that-only-the-tests-have'
export const CALLER = { ip: '127.0.0.1', headers: { authorization: 'Bearer' } }

export const ADMINISTRATOR: Principal = { kind: 'administrator', id: 'administrator', scopes: ScopeSet.of(['*']) }
export const LOCAL: Principal = { kind: 'local', id: 'local', scopes: ScopeSet.of(['items:*', 'valet:*', 'valet:issue']) }

export interface IssuingOptions {
  algorithm?: Algorithm
  secrets?: string[]
  now?: () => number
  /** Until when API keys live. */
  endOf?: (id: string) => number | undefined
  shared?: boolean
}

/** What a process has for valet keys. */
export async function openIssuing (owner: Owner, database: Database, options: IssuingOptions = {}) {
  const { algorithm = 'HS256', secrets = [SECRET], now = Date.now, endOf = () => Infinity, shared = true } = options
  const logged: string[] = []
  const log = { warn: (_: object, message: string) => { logged.push(message) }, info: (message: string) => { logged.push(message) } }
  const store = new CredentialStore({ database, shared, pollInterval: 20, log })
  owner.teardown(() => store.close())
  await store.refresh()
  const signing = new SigningKeys({ store, sealer: new Sealer(secrets, PURPOSE), algorithm, shared, now, log })
  const ledger = new ValetLedger({ database, store, now })
  await signing.open()
  await ledger.open()
  const app = Fastify()
  await app.register(fastifyJwt, { secret: 'not used' })
  const keys = new ValetKeys({ jwt: app.jwt, algorithm, keys: signing, ledger, store, issuers: { endOf }, defaultTtl: 300, now })
  /** Who the bearer is. */
  const bearer = async (token: string, caller = CALLER): Promise<Principal> => await keys.authenticate(token, caller)
  return { keys, signing, ledger, store, bearer, logged }
}

/** The secret of the key that signs, as who holds SECRET_KEY can have it. */
export async function stolenKey (database: Database, secret = SECRET): Promise<{ kid: string, algorithm: Algorithm, secret: Buffer }> {
  const { rows: [row] } = await database.query<{ kid: string, algorithm: Algorithm, sealed: Buffer }>(
    'SELECT kid, algorithm, sealed FROM valet_signing_keys WHERE verifies_until IS NULL ORDER BY position DESC LIMIT 1')
  const { kid, algorithm, sealed } = row!
  return { kid, algorithm, secret: new Sealer([secret], PURPOSE).open(Buffer.from(sealed), boundTo(kid, algorithm))! }
}

export const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url')

/** A token of any header and claims, as texts or as what becomes JSON, that is signed as the key signs. */
export function forge ({ algorithm, secret }: { algorithm: Algorithm, secret: Buffer }, header: object | string, claims: object | string | Buffer): string {
  const text = (part: object | string | Buffer) => encode(typeof part === 'string' || Buffer.isBuffer(part) ? part : JSON.stringify(part))
  const input = `${text(header)}.${text(claims)}`
  return `${input}.${encode(signatureOf(algorithm, secret, input))}`
}

function signatureOf (algorithm: Algorithm, secret: Buffer, input: string): Buffer {
  if (algorithm === 'HS256') return createHmac('sha256', secret).update(input).digest()
  return sign(null, Buffer.from(input), createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' }))
}

/** Every form in which the public key of a pair may be taken for a secret. */
export function publicForms (secret: Buffer): Record<string, Buffer> {
  const key = createPublicKey(createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' }))
  const pem = key.export({ format: 'pem', type: 'spki' }).toString()
  const jwk = key.export({ format: 'jwk' })
  return {
    PEM: Buffer.from(pem),
    'PEM without its end of line': Buffer.from(pem.trim()),
    'PEM between spaces': Buffer.from(` ${pem} `),
    DER: key.export({ format: 'der', type: 'spki' }),
    JWK: Buffer.from(JSON.stringify(jwk)),
    'raw bytes': Buffer.from(jwk.x!, 'base64url')
  }
}
