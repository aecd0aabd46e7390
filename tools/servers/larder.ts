import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ServerProcess, type ServerKind } from './server-process.js'

type Environment = Readonly<Record<string, string>>

/** Milliseconds between looks whether it is there: a start takes a second, and needs the processor itself. */
const LOOK = 25

/** The built service, in a process and a folder of its own, with these settings and no others. */
export function startLarder (environment: Environment): Promise<ServerProcess> {
  return ServerProcess.start({
    ...run('larder', 'server.js', environment),
    url: (port) => `http://127.0.0.1:${port}`,
    async answers (port) {
      await delay(LOOK)
      const response = await fetch(`http://127.0.0.1:${port}/health/live`, { signal: AbortSignal.timeout(1000) })
      await response.arrayBuffer()
      return response.ok
    }
  })
}

/** The built worker, which answers nobody. */
export function startWorker (environment: Environment): Promise<ServerProcess> {
  return ServerProcess.start({
    // Its log is all there is to tell by.
    ...run('larder-worker', 'worker.js', { ...environment, LOG_LEVEL: 'info' }),
    url: () => '',
    async answers (_port, _pid, folder) {
      await delay(LOOK)
      return readFileSync(join(folder, 'log'), 'utf8').includes('worker is at work')
    }
  })
}

function run (name: string, entry: string, environment: Environment): Pick<ServerKind, 'name' | 'command' | 'environment'> {
  const file = fileURLToPath(new URL(`../../dist/${entry}`, import.meta.url))
  if (!existsSync(file)) throw new Error('There is no build in dist/: run `npm run build` first.')
  return {
    name,
    command: () => ({ file: process.execPath, args: [file] }),
    environment: (port, folder) => ({ HOST: '127.0.0.1', PORT: `${port}`, DATA_DIR: join(folder, 'data'), ...environment })
  }
}
