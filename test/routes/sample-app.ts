import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { buildApp } from '../../app.js'
import { loadConfig } from '../../config.js'
import { databaseUrl, type Owner } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { UNLIMITED } from '../support/unlimited.js'

/** The settings of each database that the sample routes run on: every test of them runs on both. */
export const databases: Record<string, (owner: Owner) => Promise<NodeJS.ProcessEnv>> = {
  'a PostgreSQL server': async (owner) => ({ DATABASE_URL: await databaseUrl(owner), DATA_DIR: temporaryFolder(owner) }),
  'the embedded database': async (owner) => ({ DATA_DIR: temporaryFolder(owner) })
}

/** The administrator's key of the services that `openApp` opens. */
export const ADMINISTRATOR_KEY = 'the-key-of-the-administrator'

/** The whole service with its sample data, closed when the test ends. */
export async function openApp (owner: Owner, env: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const app = await buildApp(loadConfig({
    SAMPLE_DATA: 'true', LOG_LEVEL: 'silent', CACHE_ACCESS_LOG_ENABLED: 'false', CACHE_API_KEY: ADMINISTRATOR_KEY, ...UNLIMITED, ...env
  }))
  owner.teardown(() => app.close())
  await app.ready()
  return app
}

/** Requests as short as a curl command: `send('PUT /items/1', { age: 31 })`. */
export function sender (app: FastifyInstance) {
  return async (request: string, payload?: object, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> => {
    const [method, url] = request.split(' ') as [InjectOptions['method'], string]
    return await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) } as InjectOptions)
  }
}

/** What an answer of a problem, or of anything else, says. */
export const bodyOf = <T = Record<string, unknown>>(response: LightMyRequestResponse): T => response.json<T>()
