/** Those that `npm test` starts for all of its files. */
export const serverNames = ['postgres', 'redis', 'memcached'] as const
export type SharedServerName = typeof serverNames[number]
/** A server that tests and demonstrations need. */
export type ServerName = SharedServerName | 'prometheus'

/** Where a server comes from: an address somebody gave, programs on this machine, or a container image. */
export type Location =
  | { kind: 'address', url: string }
  | { kind: 'program', path: string }
  | { kind: 'image', image: string }

/** What is asked of the machine. Injected, so that the order of the search can be tested on any machine. */
export interface Probes {
  env: Readonly<Record<string, string | undefined>>
  /** Path of the program on PATH or in Debian's versioned folders; undefined where there is none. */
  find (server: ServerName): string | undefined
  /** Debian or Ubuntu, as root. */
  canInstall (): boolean
  /** Installs packages with apt-get, without starting their services. Rejects when apt-get fails. */
  install (packages: readonly string[]): Promise<void>
  /** Does a Docker engine answer? */
  dockerAnswers (): boolean
}

export const addressVariables: Readonly<Record<ServerName, string>> = {
  postgres: 'TEST_DATABASE_URL', redis: 'TEST_REDIS_URL', memcached: 'TEST_MEMCACHED_URL', prometheus: 'TEST_PROMETHEUS_URL'
}
const packages: Readonly<Record<ServerName, string>> = { postgres: 'postgresql', redis: 'redis-server', memcached: 'memcached', prometheus: 'prometheus' }
const images: Readonly<Record<ServerName, string>> = {
  postgres: 'postgres:18-alpine', redis: 'valkey/valkey:8.1-alpine', memcached: 'memcached:1.6-alpine', prometheus: 'prom/prometheus:v2.53.5'
}

/** No way was found to run some servers: the message says what to do, and the run stops with it. */
export class ServersMissingError extends Error {
  override name = 'ServersMissingError'
  readonly missing: readonly ServerName[]

  constructor (missing: readonly ServerName[], attempts: readonly string[]) {
    const given = missing.map((name) => `${addressVariables[name]}=…`).join(' ')
    super([
      `The tests run against real servers, and ${missing.join(', ')} cannot be found or started here. On Debian or Ubuntu run`,
      '',
      `  ${installCommand(missing)}`,
      '',
      `elsewhere install the same programs so that they are on PATH, start a Docker engine, or give addresses: ${given}`,
      ...attempts
    ].join('\n'))
    this.missing = missing
  }
}

/** What installs servers on Debian or Ubuntu. */
export function installCommand (servers: readonly ServerName[]): string {
  return `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${servers.map((name) => packages[name]).join(' ')}`
}

/**
 * Looks for each server: address given, program present, apt-get as root on Debian, Docker, in that order.
 * @throws ServersMissingError naming every server that none of the ways led to
 */
export async function locate<Name extends ServerName> (names: readonly Name[], probes: Probes): Promise<Record<Name, Location>> {
  const found = new Map<Name, Location>()
  const attempts: string[] = []
  const missing = () => names.filter((name) => !found.has(name))
  const look = () => {
    for (const name of missing()) {
      const path = probes.find(name)
      if (path !== undefined) found.set(name, { kind: 'program', path })
    }
  }

  for (const name of names) {
    const url = probes.env[addressVariables[name]]
    if (url) found.set(name, { kind: 'address', url })
  }
  look()
  if (missing().length > 0 && probes.canInstall()) {
    try {
      await probes.install(missing().map((name) => packages[name]))
    } catch (error) {
      attempts.push(`(tried: ${(error as Error).message})`)
    }
    look()
  }
  if (missing().length > 0 && probes.dockerAnswers()) {
    for (const name of missing()) found.set(name, { kind: 'image', image: images[name] })
  }
  if (missing().length > 0) throw new ServersMissingError(missing(), attempts)
  return Object.fromEntries(found) as Record<Name, Location>
}
