import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pinned, SERVER_CORE } from './machine.mjs'

const running = new Set()

/** Starts a program on one core, to be ended by `stop` or `stopAll`. */
export function start (core, command, args, options) {
  const child = spawn(...pinned(core, command, args), options)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

export async function stop (child) {
  if (!running.has(child)) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(timer)
}

export async function stopAll () {
  await Promise.all([...running].map(stop))
}

/**
 * Starts one of servers/ on the server's core.
 * @param script its file's name
 * @param order what it is told to serve
 * @param stdout where its standard output goes
 */
export async function startServer (script, order, stdout = 'ignore') {
  const nodeOptions = process.env.BENCH_NODE_OPTIONS?.split(' ') ?? []
  const child = start(SERVER_CORE, process.execPath, [...nodeOptions, join(import.meta.dirname, 'servers', script)], {
    stdio: ['ignore', stdout, 'inherit', 'ipc']
  })
  child.send(order)
  const { port } = await answer(child)
  return {
    url: `http://127.0.0.1:${port}`,
    /** Processor time it has used so far, in microseconds: all of its threads, in user and kernel mode. */
    async cpu () {
      child.send('cpu')
      const { user, system } = await answer(child)
      return user + system
    },
    stop: () => stop(child)
  }
}

async function answer (child) {
  const message = await Promise.race([
    once(child, 'message').then(([first]) => first),
    once(child, 'exit').then(() => undefined)
  ])
  if (message === undefined) throw new Error('The server that is measured ended by itself.')
  return message
}
