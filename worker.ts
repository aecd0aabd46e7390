import closeWithGrace from 'close-with-grace'
import { loadConfig } from './config.js'
import { ConfigError } from './config/fault.js'

/** Milliseconds after which the process ends in any case. */
const GRACE = 10_000

/** Does what is to be done about events, and answers nobody: for processes beside those that serve (with `WORKER=false`). */
try {
  const config = loadConfig()
  if (config.databaseUrl === undefined) throw new ConfigError('DATABASE_URL', 'A worker of its own shares a database with those that serve: give DATABASE_URL. The embedded one is for one process, which has a worker in it.')
  const { buildApp } = await import('./app.js')
  const app = await buildApp({ ...config, worker: true })
  closeWithGrace({ delay: GRACE, logger: false }, async ({ err, signal }) => {
    if (err) app.log.fatal({ err }, 'stopping: an error that nothing caught')
    else app.log.info(`${signal ?? 'end of work'}: finishing what is under way`)
    await app.close()
  })
  await app.ready()
  app.log.info('Larder’s worker is at work')
} catch (error) {
  process.stderr.write(`larder: ${(error as Error).message}\n`)
  process.exit(1)
}
