import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/** Whether a process of that id runs on this host. One that has ended and waits for its parent to notice does not. */
export function isRunning (pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return stat(pid)?.[0] !== 'Z'
}

/** When the process started, in a form that differs for each process that ever has this id; undefined where that cannot be told. */
export function processStart (pid: number): string | undefined {
  const fields = stat(pid)
  // Field 22 of proc(5), in ticks since the machine started.
  if (fields !== undefined) return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`
  if (process.platform === 'win32') return undefined
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() || undefined
  } catch {
    return undefined
  }
}

/** The fields of Linux's /proc/…/stat after the process's name (which may hold spaces and brackets): the state is the first. */
function stat (pid: number): string[] | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  try {
    const text = readFileSync(file, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
