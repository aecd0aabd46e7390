import cluster from 'node:cluster'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { loadConfig, type Config } from './config.js'
import { ConfigError } from './config/fault.js'
import { maskUrl } from './config/shown.js'
import { live, longestEnd } from './life.js'
import { Leader } from './services/processes/leader.js'
import { Subordinate } from './services/processes/subordinate.js'

/** Milliseconds that the process which leads others waits longer than those take to end by themselves. */
const PATIENCE = 500

// What is written on the disk holds entries, or rows: it is for this user alone.
process.umask(0o077)

const config = configured()
await (config.workers > 1 && cluster.isPrimary ? lead() : serve())

/** Serves: alone, or as one of several processes. */
async function serve (): Promise<void> {
  // Loaded only now: a setting that does not validate is told at once.
  const starting: Promise<FastifyInstance> = import('./app.js').then(({ buildApp }) => buildApp(config, others === undefined ? {} : { others }))
  const others = cluster.isPrimary ? undefined : subordinate(starting, () => { life.end() })
  const life = live(starting, { delay: config.shutdownDelay, ...(others && { isLed: true, last: async () => { await others.last() } }) })
  cluster.worker?.on('disconnect', () => {
    // Node would end the process here and now.
    cluster.worker!.exitedAfterDisconnect = true
    life.end()
  })
  try {
    const app = await starting
    if (!life.isEnding) await listen(app)
  } catch (error) {
    // A signal that came while listening was to begin has ended it; whoever closes answers for the exit.
    if (!life.isEnding) stop(startFault(error as NodeJS.ErrnoException))
  }
}

function subordinate (starting: Promise<FastifyInstance>, end: () => void): Subordinate {
  return new Subordinate(process, {
    count: async () => await (await starting).metrics.snapshot(),
    tally: async (asked) => await (await starting).together.tally.changes(asked),
    tell: async (about) => await (await starting).together.tell(about),
    end
  })
}

/** Leads the processes that serve, and answers nobody itself. */
async function lead (): Promise<void> {
  const { openLog } = await import('./app.js')
  const log = openLog(config)
  const { workers: count, shutdownDelay: delay } = config
  const leader = new Leader({ cluster, count, log, hasMetrics: config.metrics, patience: longestEnd(delay) + PATIENCE })
  let isFaulty = false
  const finished = leader.ended.then((code) => process.exit(isFaulty ? 1 : code))
  closeWithGrace({ delay: false, logger: false, onSecondSignal: () => { leader.kill() } }, async ({ err, signal }) => {
    isFaulty = err !== undefined
    if (err) log.fatal({ err }, 'stopping: an error that nothing caught')
    else log.info(`${signal ?? 'end of work'}: ending ${count} processes`)
    leader.end(signal !== 'SIGTERM')
    await finished
  })
  leader.start()
  await finished
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
  if (error.syscall === 'listen' || error.syscall === 'bind' || error.syscall === 'getaddrinfo') {
    if (error.code === 'EADDRINUSE') return `port ${port} on ${host} is taken: stop what listens there, or give another PORT.`
    if (error.code === 'EACCES') return `port ${port} needs more rights than this user has: give a PORT above 1023.`
    return `cannot listen on ${host} (${error.code}): give a HOST that is an address of this machine.`
  }
  // A plain error was made to be read; a TypeError and its like is a fault of the program, and its place matters.
  const isBug = /^(?:Type|Range|Reference|Syntax)Error$/.test(error.name)
  return maskUrl(isBug ? error.stack ?? error.message : error.message.replace(/\s*\n\s*/g, ' '))
}
