import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, realpathSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { Location } from './locate.js'
import { serverAccount } from './machine.js'
import { ServerProcess, serverEnvironment, type ServerKind } from './server-process.js'

/** Programs and images can be started; an address is somebody else's server. */
export type Startable = Exclude<Location, { kind: 'address' }>

export interface RedisOptions {
  /** Further arguments, for instance `['--maxmemory', '10mb']`. */
  args?: readonly string[]
  /** Asked of clients, and part of `url`. */
  password?: string
  /** A node of a cluster, which is still to be made: see `redisCluster` in `servers.ts`. Default false. */
  clusterNode?: boolean
  /** Keeps an append-only file, so that data survive `restart` and `kill`. Default false. */
  appendOnly?: boolean
}

/** An empty cluster that trusts everybody on loopback. What it commits outlives `kill`, though not a power cut: it never waits for the disk. */
export function startPostgres (location: Startable): Promise<ServerProcess> {
  const settings = [
    'fsync=off', 'full_page_writes=off', 'max_connections=200', 'shared_buffers=32MB',
    'autovacuum=off', 'timezone=UTC'
  ].flatMap((setting) => ['-c', setting])
  return ServerProcess.start({
    name: 'postgres',
    stopSignal: 'SIGINT',
    // Unlike SIGKILL it leaves no shared memory behind.
    abortSignal: 'SIGQUIT',
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    async answers (port, _pid, folder) {
      const client = new pg.Client({ connectionString: `postgres://postgres@127.0.0.1:${port}/postgres`, connectionTimeoutMillis: 2_000 })
      try {
        await client.connect()
        const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory')
        return location.kind === 'image' || rows[0]?.data_directory === join(folder, 'data')
      } finally {
        await client.end()
      }
    },
    ...run(location, 5432, {
      options: ['-e', 'POSTGRES_HOST_AUTH_METHOD=trust'],
      arguments: (inside, port, folder) => inside
        ? settings
        : ['-D', join(folder, 'data'), '-p', `${port}`, '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', ...settings],
      program: (initdb) => join(dirname(realpathSync(initdb)), 'postgres')
    }),
    ...(location.kind === 'program' && {
      prepare: (folder: string) => finish(location.path, [
        '-D', join(folder, 'data'), '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'
      ], folder)
    })
  })
}

/** Keeps nothing on disk unless asked to. */
export function startRedis (location: Startable, { args = [], password, appendOnly = false, clusterNode = false }: RedisOptions = {}): Promise<ServerProcess> {
  const settings = [
    '--save', '', '--appendonly', appendOnly ? 'yes' : 'no', ...(password === undefined ? [] : ['--requirepass', password]), ...args
  ]
  const login = password === undefined ? '' : `AUTH ${JSON.stringify(password)}\r\n`
  return ServerProcess.start({
    name: 'redis',
    url: (port) => `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    async answers (port, pid) {
      const answer = await ask(port, `${login}INFO server\r\nPING\r\nQUIT\r\n`)
      return answer.includes('+PONG') && (location.kind === 'image' || answer.includes(`process_id:${pid}\r`))
    },
    ...run(location, 6379, {
      arguments: (inside, port, folder) => inside
        ? settings
        : ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, ...settings, ...clusterNode
            ? ['--cluster-enabled', 'yes', '--cluster-port', `${busPort(port)}`, '--cluster-node-timeout', '1000', '--cluster-config-file', 'nodes.conf']
            : []]
    })
  })
}

/** The port of a cluster node's bus. */
export const busPort = (port: number): number => port > 55_000 ? port - 10_000 : port + 10_000

/** Watches a master on 127.0.0.1 under the name `mymaster`; one sentinel alone may decide that it is down. */
export function startSentinel (location: Startable, masterPort: number): Promise<ServerProcess> {
  return ServerProcess.start({
    name: 'sentinel',
    url: (port) => `redis://127.0.0.1:${port}`,
    async prepare (folder) {
      const file = join(folder, 'sentinel.conf')
      writeFileSync(file, [
        `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`, 'sentinel down-after-milliseconds mymaster 500', 'sentinel failover-timeout mymaster 3000', ''
      ].join('\n'))
      // It writes there what it learns.
      chmodSync(file, 0o666)
    },
    async answers (port, pid) {
      // It does not know QUIT.
      const client = new Redis(port, '127.0.0.1', { retryStrategy: () => null })
      client.on('error', () => {})
      try {
        return (await client.info('server')).includes(`process_id:${pid}\r`)
      } finally {
        client.disconnect()
      }
    },
    ...run(location, 26379, {
      arguments: (inside, port, folder) => {
        if (inside) throw new Error('Sentinels are started from a program alone.')
        return [join(folder, 'sentinel.conf'), '--sentinel', '--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder]
      }
    })
  })
}

/** @param more arguments of memcached */
export function startMemcached (location: Startable, more: string[] = []): Promise<ServerProcess> {
  return ServerProcess.start({
    name: 'memcached',
    // It takes a second over SIGTERM, and has nothing to save.
    stopSignal: 'SIGKILL',
    url: (port) => `memcached://127.0.0.1:${port}`,
    async answers (port, pid) {
      const answer = await ask(port, 'stats\r\nquit\r\n')
      return answer.includes('STAT pid') && (location.kind === 'image' || answer.includes(`STAT pid ${pid}\r`))
    },
    ...run(location, 11211, {
      arguments: (inside, port) => [...inside ? [] : ['-l', '127.0.0.1', '-p', `${port}`, '-U', '0'], '-m', '64', ...more]
    })
  })
}

/** @param files its configuration, `prometheus.yml`, and what that names beside it */
export function startPrometheus (location: Startable, files: Readonly<Record<string, string>>): Promise<ServerProcess> {
  return ServerProcess.start({
    name: 'prometheus',
    url: (port) => `http://127.0.0.1:${port}`,
    async prepare (folder) {
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o644 })
    },
    async answers (port) {
      const response = await fetch(`http://127.0.0.1:${port}/-/ready`, { signal: AbortSignal.timeout(1000) })
      await response.arrayBuffer()
      return response.ok
    },
    ...run(location, 9090, {
      arguments: (inside, port, folder) => {
        if (inside) throw new Error('Prometheus is started from a program alone.')
        return [`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`]
      }
    })
  })
}

/** The command for a program on this machine, or for the same server in a container. */
function run (location: Startable, innerPort: number, how: {
  arguments (inside: boolean, port: number, folder: string): string[]
  program?(path: string): string
  options?: string[]
}): Pick<ServerKind, 'command' | 'container'> {
  if (location.kind === 'program') {
    const file = how.program?.(location.path) ?? location.path
    return { command: (port, folder) => ({ file, args: how.arguments(false, port, folder) }) }
  }
  const container = `larder-test-${randomUUID()}`
  return {
    container,
    command: (port, folder) => ({
      file: 'docker',
      args: ['run', '--rm', '--name', container, '-p', `127.0.0.1:${port}:${innerPort}`, ...how.options ?? [], location.image,
        ...how.arguments(true, port, folder)]
    })
  }
}

/** Sends a line protocol's request and resolves to all that came until the server closed the connection. */
function ask (port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 }, () => { socket.write(request) })
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => { answer += chunk })
    socket.on('timeout', () => { socket.destroy(new Error('no answer')) })
    socket.on('error', reject)
    socket.on('close', () => { resolve(answer) })
  })
}

function finish (file: string, args: string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env: serverEnvironment(), stdio: ['ignore', 'ignore', 'pipe'], ...serverAccount() })
    let complaint = ''
    child.stderr.on('data', (chunk: Buffer) => { complaint += chunk.toString() })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${file} ended with ${code}: ${complaint.trim()}`))
    })
  })
}
