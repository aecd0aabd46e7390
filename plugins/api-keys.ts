import fp from 'fastify-plugin'
import { ApiKeys } from '../services/access/keys/api-keys.js'
import { HeldKeys } from '../services/access/keys/held-keys.js'
import { KeyUses } from '../services/access/keys/key-uses.js'
import type {} from './credentials.js'
import type {} from './gatekeeper.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The API keys: to create, list, rotate and revoke them. */
    apiKeys: ApiKeys
    /** Those that are live. */
    heldKeys: HeldKeys
  }
}

/** Lets the bearers of API keys in, and decorates the instance with `apiKeys` and `heldKeys`. */
export default fp(async function apiKeys (app) {
  const { credentials, database, log } = app
  const uses = new KeyUses({ database, log })
  const held = new HeldKeys({ credentials, uses, log })
  await credentials.follow(held.load)
  app.gatekeeper.add(held)
  app.decorate('heldKeys', held)
  app.decorate('apiKeys', new ApiKeys({ credentials, database }))
  app.addHook('onClose', async () => { await uses.close() })
}, { name: 'api-keys', fastify: '5.x', dependencies: ['credentials', 'gatekeeper', 'postgres'] })
