import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { Api } from './api.js'
import { batches } from './everything/batches.js'
import { conditions } from './everything/conditions.js'
import { counters } from './everything/counters.js'
import { entries } from './everything/entries.js'
import { invalidations } from './everything/invalidations.js'
import { lists } from './everything/lists.js'
import { statistics } from './everything/statistics.js'

/** Holds one backend to all that the API promises, which is the same on each. */
export async function everything (t: Test, app: FastifyInstance, backend: string): Promise<void> {
  const api = () => new Api(app, backend)
  await entries(t, api)
  await conditions(t, api)
  await counters(t, api)
  await batches(t, api)
  await lists(t, api)
  await invalidations(t, api)
  await statistics(t, api, backend)
}
