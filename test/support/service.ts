import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Owner } from './servers.js'
import { UNLIMITED } from './unlimited.js'

const built = fileURLToPath(new URL('../../dist/server.js', import.meta.url))

/** A running service in a process of its own. */
export interface Service {
  url: string
  pid: number
  kill: (signal: NodeJS.Signals) => void
  /** Its log so far. */
  log: () => string
  /** Resolves when it has ended, by itself or not. */
  ended: Promise<{ code: number | null, signal: NodeJS.Signals | null }>
}

/** Starts the built service on a free port, with this environment and no other (but limits that nobody reaches, where it gives none), and waits until it listens. */
export async function startService (owner: Owner, env: Record<string, string>): Promise<Service> {
  const child = spawn(process.execPath, [built], {
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', CACHE_ACCESS_LOG_ENABLED: 'false', ...UNLIMITED, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let log = ''
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null }))
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { log += chunk })
  owner.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  for (;;) {
    const address = /Larder listens at (https?:\/\/[^"]*:\d+)/.exec(log)?.[1]
    if (address !== undefined) return { url: address, pid: child.pid as number, kill: (signal) => { child.kill(signal) }, log: () => log, ended }
    await Promise.race([once(child.stdout, 'data'), ended.then(() => { throw new Error(`The service ended instead of listening: ${log}`) })])
  }
}

/** A JSON request, answered with status, headers and body. */
export async function send<T = Record<string, unknown>> (
  url: string, method = 'GET', body?: unknown
): Promise<{ status: number, headers: Headers, body: T }> {
  const response = await fetch(url, {
    method,
    ...body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  })
  return { status: response.status, headers: response.headers, body: await response.json() as T }
}
