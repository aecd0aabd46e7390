import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pinned, SERVER_CORE } from './machine.mjs'

const running = new Set()
let over = false

/** Starts a program on one core, to be ended by `stop` or `stopAll`. */
export function start (core, command, args, options) {
  if (over) throw new Error('Interrupted.')
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

/** Ends everything; nothing starts from then on. */
export async function stopAll () {
  over = true
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
  const answered = new AbortController()
  const died = once(child, 'exit', answered).then(() => { throw new Error('The server that is measured ended by itself.') })
  try {
    const [message] = await Promise.race([once(child, 'message', answered), died])
    return message
  } finally {
    died.catch(() => {}) // the race has told of it; and this ends it, which is no fault
    answered.abort()
  }
}
