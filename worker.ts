import { loadConfig } from './config.js'
import { ConfigError } from './config/fault.js'
import { live } from './life.js'

/** Does what is to be done about events, and answers nobody: for processes beside those that serve (with `WORKER=false`). */
try {
  const config = loadConfig()
  if (config.databaseUrl === undefined) throw new ConfigError('DATABASE_URL', 'A worker of its own shares a database with those that serve: give DATABASE_URL. The embedded one is for one process, which has a worker in it.')
  const starting = import('./app.js').then(({ buildApp }) => buildApp({ ...config, worker: true }))
  const life = live(starting, { delay: 0 })
  const app = await starting
  if (!life.isEnding) {
    await app.ready()
    app.log.info('Larder’s worker is at work')
  }
} catch (error) {
  process.stderr.write(`larder: ${(error as Error).message}\n`)
  process.exit(1)
}
