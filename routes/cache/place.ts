import type { FastifyInstance } from 'fastify'
import type {} from '../../plugins/cache.js'
import type { Cache } from '../../services/cache/cache.js'
import { InvalidInputError } from '../../services/errors.js'

type Caches = FastifyInstance['caches']

/** Where an entry is meant to be. Every part may be left out. */
export interface PlaceNames<Backend = string> {
  backend?: Backend
  namespace?: string
}

export const DEFAULT_NAMESPACE = 'default'

/** A namespace that nobody can name, and so one without entries: what a caller who may not see a namespace is told of instead. */
export const EMPTY_NAMESPACE = '(empty)'

/** The cache meant, the default one when none is named. Throws for what is not built or not configured. */
export function cacheOf (caches: Caches, backend: string | undefined): Cache {
  return caches.get(backend ?? caches.defaultBackend)
}

/** The caches meant by an operation that goes everywhere unless told otherwise. */
export function cachesOf (caches: Caches, backend: string | undefined): Cache[] {
  return backend === undefined || backend === '*' ? caches.all() : [caches.get(backend)]
}

/**
 * What the query and the body say together about the place.
 * @throws InvalidInputError when they name different ones
 */
export function agree<Backend> (query: PlaceNames<Backend>, body: PlaceNames<Backend>): PlaceNames<Backend> {
  const backend = body.backend ?? query.backend
  const namespace = body.namespace ?? query.namespace
  if (query.backend !== undefined && query.backend !== backend) throw new DisagreementError('backend')
  if (query.namespace !== undefined && query.namespace !== namespace) throw new DisagreementError('namespace')
  return { ...(backend === undefined ? {} : { backend }), ...(namespace === undefined ? {} : { namespace }) }
}

class DisagreementError extends InvalidInputError {
  constructor (name: string) {
    super(`${name} is one thing in the query and another in the body: say it once.`)
  }
}
