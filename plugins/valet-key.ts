import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { secretOf } from '../services/access/secret-file.js'
import { Sealer } from '../services/access/valet/sealer.js'
import type { Algorithm, Jwt } from '../services/access/valet/signing-key.js'
import { PURPOSE, SigningKeys } from '../services/access/valet/signing-keys.js'
import { ValetKeys } from '../services/access/valet/valet-keys.js'
import { ValetLedger } from '../services/access/valet/valet-ledger.js'
import type {} from './api-keys.js'
import type {} from './credentials.js'
import type {} from './gatekeeper.js'
import type {} from './postgres.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Valet keys: issuing and checking them, what was issued, and what they are signed with. */
    valet: { keys: ValetKeys, ledger: ValetLedger, signing: SigningKeys, algorithm: Algorithm }
  }
}

export interface ValetKeyOptions {
  algorithm: Algorithm
  /** Seconds that a valet key lives when nobody says how long. */
  defaultTtl: number
  /** Seal the signing keys: the first one seals, all of them open. undefined: the one in a file in `dataDir`. */
  secrets?: readonly string[] | undefined
  dataDir: string
  /** Whether other processes may use the same database. */
  shared: boolean
  /** Milliseconds since 1970. */
  now?: () => number
}

/** Milliseconds between sweeps for valet keys that expired long ago. */
const SWEEP_INTERVAL = 600_000

/** Makes valet keys another kind of credential, and decorates the instance with `valet`. */
export default fp<ValetKeyOptions>(async function valetKey (app, { algorithm, defaultTtl, secrets, dataDir, shared, now = Date.now }) {
  const { database, credentials: store, log } = app
  const sealer = new Sealer(secrets ?? [await secretOf(dataDir)], PURPOSE)
  const signing = new SigningKeys({ store, sealer, algorithm, shared, now, log })
  const ledger = new ValetLedger({ database, store, now })
  await signing.open()
  await ledger.open()
  const keys = new ValetKeys({ jwt: await library(app), algorithm, keys: signing, ledger, store, issuers: app.heldKeys, defaultTtl, now })
  app.gatekeeper.add(keys)
  app.decorate('valet', { keys, ledger, signing, algorithm })

  const timer = setInterval(() => {
    ledger.sweep().catch((err: unknown) => { log.warn({ err }, 'Valet keys that have expired could not be swept: they will be later') })
  }, SWEEP_INTERVAL).unref()
  app.addHook('onClose', async () => { clearInterval(timer) })
}, { name: 'valet-key', fastify: '5.x', dependencies: ['api-keys', 'credentials', 'gatekeeper', 'postgres'] })

/** `@fastify/jwt`, in a context of its own: what it hangs on every request is used nowhere. Each call names its key. */
async function library (app: FastifyInstance): Promise<Jwt> {
  let jwt: Jwt | undefined
  await app.register(async (own) => {
    await own.register(fastifyJwt, { secret: async () => { throw new Error('There is no key for all') } })
    jwt = { sign: (claims, options) => own.jwt.sign(claims, options), verify: (token, options) => own.jwt.verify(token, options) }
  })
  return jwt as Jwt
}
