import { accessSync, constants } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { delimiter, join } from 'node:path'

/** The path of a program, undefined when it is not on PATH. */
export function which (program) {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder: the next one.
    }
  }
  return undefined
}

const taskset = availableParallelism() > 1 ? which('taskset') : undefined

/** The core of whatever is measured, and that of whoever makes the load. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1

/** The command that runs another on one core, where that can be arranged. */
export function pinned (core, command, args) {
  return taskset === undefined ? [command, args] : [taskset, ['-c', String(core), command, ...args]]
}

export function describeMachine () {
  const [{ model } = { model: 'unknown' }] = cpus()
  const cores = taskset === undefined
    ? 'nothing is pinned to a core (taskset, or a second core, is missing): expect more noise'
    : `what is measured on core ${SERVER_CORE}, the load on core ${LOAD_CORE}`
  return `Node ${process.version}, ${availableParallelism()} cores (${model}); ${cores}`
}
