import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { badCredential } from '../errors.js'
import { AUDIENCE, ISSUER, TYPE, type Claims } from './claims.js'

/** What valet keys may be signed with: a shared secret (HMAC with SHA-256), or Ed25519, whose public half is published. */
export const ALGORITHMS = ['HS256', 'EdDSA'] as const
export type Algorithm = typeof ALGORITHMS[number]

/** The part of `@fastify/jwt` that is used here. */
export interface Jwt {
  sign (claims: object, options: { key: string | Buffer, algorithm: Algorithm, kid: string, typ: string }): string
  verify (token: string, options: VerifyOptions): object
}
interface VerifyOptions {
  key: string | Buffer
  algorithms: Algorithm[]
  checkTyp: string
  allowedIss: string
  allowedAud: string
  requiredClaims: string[]
  clockTimestamp: number
  ignoreNotBefore: boolean
  cache: false
}

/** A public key as in RFC 7517 and RFC 8037. */
export interface PublicKey {
  kty: 'OKP'
  crv: 'Ed25519'
  x: string
  kid: string
  use: 'sig'
  alg: 'EdDSA'
}

/** One key that valet keys are signed with. Its secret is shown to nobody, whoever prints or serialises this. */
export class SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  /** For EdDSA alone. */
  readonly published: PublicKey | undefined
  readonly #signs: string | Buffer
  readonly #verifies: string | Buffer

  /** @param secret 32 bytes, or the private key in DER (PKCS #8) */
  constructor (kid: string, algorithm: Algorithm, secret: Buffer) {
    this.kid = kid
    this.algorithm = algorithm
    if (algorithm === 'HS256') {
      this.#signs = this.#verifies = secret
      return
    }
    const privateKey = createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' })
    const publicKey = createPublicKey(privateKey)
    this.#signs = privateKey.export({ format: 'pem', type: 'pkcs8' })
    this.#verifies = publicKey.export({ format: 'pem', type: 'spki' })
    this.published = { kty: 'OKP', crv: 'Ed25519', x: publicKey.export({ format: 'jwk' }).x!, kid, use: 'sig', alg: 'EdDSA' }
  }

  /** The secret of a new key. */
  static secret (algorithm: Algorithm): Buffer {
    return algorithm === 'HS256' ? randomBytes(32) : generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' })
  }

  sign (jwt: Jwt, claims: Claims): string {
    return jwt.sign(claims, { key: this.#signs, algorithm: this.algorithm, kid: this.kid, typ: TYPE })
  }

  /** @throws UnauthorizedError */
  verify (jwt: Jwt, token: string, now: number): Record<string, unknown> {
    try {
      return jwt.verify(token, {
        key: this.#verifies,
        algorithms: [this.algorithm],
        checkTyp: TYPE,
        allowedIss: ISSUER,
        allowedAud: AUDIENCE,
        requiredClaims: ['iss', 'aud', 'sub', 'jti', 'iat', 'nbf', 'exp'],
        clockTimestamp: now,
        ignoreNotBefore: true, // checked with the other times, in claims.ts
        cache: false
      }) as Record<string, unknown>
    } catch (error) {
      throw badCredential((error as Error).message)
    }
  }
}
