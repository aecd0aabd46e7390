import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { loadConfig, type Config } from './config.js'
import { ConfigError } from './config/fault.js'
import { maskUrl } from './config/shown.js'

/** Milliseconds that requests under way get to finish, and after which the process ends in any case. */
const DRAIN = 8000
/** Milliseconds after which a kept connection whose request was under way is let go. */
const IDLE = 100
const GRACE = 10_000

// What is written on the disk holds entries, or rows: it is for this user alone.
process.umask(0o077)

const config = configured()
// Loaded only now: a setting that does not validate is told at once.
const starting = import('./app.js').then(({ buildApp }) => buildApp(config))

let closing = false
closeWithGrace({ delay: GRACE, logger: false }, async ({ err, signal }) => {
  closing = true
  const app = await starting
  if (err) app.log.fatal({ err }, 'stopping: an error that nothing caught')
  else app.log.info(`${signal ?? 'end of work'}: finishing what is under way`)
  const impatience = setTimeout(() => app.server.closeAllConnections(), DRAIN)
  // Node lets go of the connections that are idle when it begins to close, and waits for those that become so later.
  const idleness = setInterval(() => app.server.closeIdleConnections(), IDLE)
  await app.close()
  clearInterval(idleness)
  clearTimeout(impatience)
})

try {
  const app = await starting
  if (!closing) await listen(app)
} catch (error) {
  // A signal that came while listening was to begin has ended it; whoever closes answers for the exit.
  if (!closing) stop(startFault(error as NodeJS.ErrnoException))
}

async function listen (app: FastifyInstance): Promise<void> {
  for (const warning of config.warnings ?? []) app.log.warn(warning)
  app.log.info(parts(config))
  await app.listen({ host: config.host, port: config.port, listenTextResolver: (address) => `Larder listens at ${address}` })
}

function configured (): Config {
  try {
    return loadConfig()
  } catch (error) {
    if (error instanceof ConfigError) stop(error.message)
    throw error
  }
}

/** What the service is made of, and which setting replaces what is embedded. */
function parts ({ databaseUrl, dataDir, redis }: Config): string {
  const database = databaseUrl === undefined
    ? `embedded PostgreSQL in ${dataDir} (DATABASE_URL replaces it)`
    : `PostgreSQL at ${maskUrl(databaseUrl)}`
  const cache = redis === undefined
    ? 'memory cache in this process alone (REDIS_URL puts Redis behind it)'
    : `memory cache in front of Redis at ${maskUrl(redis.url)}`
  return `${database}, ${cache}`
}

/** Says in one line on stderr why there is no service, and ends. */
function stop (why: string): never {
  process.stderr.write(`larder: ${why}\n`)
  process.exit(1)
}

function startFault (error: NodeJS.ErrnoException): string {
  const { host, port } = config
  if (error.syscall === 'listen' || error.syscall === 'getaddrinfo') {
    if (error.code === 'EADDRINUSE') return `port ${port} on ${host} is taken: stop what listens there, or give another PORT.`
    if (error.code === 'EACCES') return `port ${port} needs more rights than this user has: give a PORT above 1023.`
    return `cannot listen on ${host} (${error.code}): give a HOST that is an address of this machine.`
  }
  // A plain error was made to be read; a TypeError and its like is a fault of the program, and its place matters.
  const isBug = /^(?:Type|Range|Reference|Syntax)Error$/.test(error.name)
  return maskUrl(isBug ? error.stack ?? error.message : error.message.replace(/\s*\n\s*/g, ' '))
}
