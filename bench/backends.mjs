// What set, get and getMany cost on each backend, from within the process; Redis and memcached where they are on PATH.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { reportOf } from './engine.mjs'
import { LOAD_CORE, which } from './machine.mjs'
import { freePort, listening } from './ports.mjs'
import { start, stop } from './processes.mjs'
import { median, printTable } from './statistics.mjs'

const COLUMNS = { set: 'set', memory: 'get, from the memory tier', get: 'get, from the backend', getMany: 'getMany of 100, entries' }

export async function benchBackends ({ folder }) {
  const DATA_DIR = mkdtempSync(join(folder, 'backends-'))
  const environment = { DATA_DIR, LOG_LEVEL: 'silent', CACHE_MAX_ITEMS: '100000', CACHE_MAX_MEMORY: String(2 ** 30) }
  const servers = []
  try {
    for (const [setting, scheme, command, args] of [
      ['REDIS_URL', 'redis', 'redis-server', ['--save', '', '--port']], ['MEMCACHED_URL', 'memcached', 'memcached', ['-u', 'nobody', '-m', '256', '-l', '127.0.0.1', '-p']]
    ]) {
      if (which(command) === undefined) continue
      const port = await freePort()
      servers.push(start(LOAD_CORE, command, [...args, String(port)], { stdio: 'ignore' }))
      await listening(port)
      environment[setting] = `${scheme}://127.0.0.1:${port}`
    }
    const { entries, rounds, atOnce, bytes, speeds } = await reportOf('backends-speed.mjs', JSON.stringify(environment))
    printTable(`Backends, in process · ${entries} entries of ${bytes} bytes, ${atOnce} operations at once · ${rounds} rounds · thousands a second`,
      ['', ...Object.values(COLUMNS)],
      Object.entries(speeds).map(([backend, rates]) => [
        backend === 'database' ? 'database (embedded)' : backend, ...Object.keys(COLUMNS).map((name) => rates[name] === undefined ? '' : (median(rates[name]) / 1000).toFixed(1))
      ]))
  } finally {
    await Promise.all(servers.map(stop))
    rmSync(DATA_DIR, { recursive: true, force: true })
  }
}
