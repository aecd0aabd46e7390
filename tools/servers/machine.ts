import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Probes, ServerName } from './locate.js'

const debianPostgres = '/usr/lib/postgresql'
const servicePolicy = '/usr/sbin/policy-rc.d'
const programs: Readonly<Record<ServerName, readonly string[]>> = {
  postgres: ['initdb'], redis: ['redis-server', 'valkey-server'], memcached: ['memcached'], prometheus: ['prometheus']
}

/** The probes of the machine the tests run on. */
export const machine: Probes = {
  env: process.env,

  find (server) {
    const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
    // Debian keeps initdb and postgres off PATH, in one folder for each major version; the newest is taken.
    if (server === 'postgres' && existsSync(debianPostgres)) {
      const versions = readdirSync(debianPostgres).sort((a, b) => Number(b) - Number(a))
      folders.push(...versions.map((version) => join(debianPostgres, version, 'bin')))
    }
    return folders.flatMap((folder) => programs[server].map((program) => join(folder, program))).find(isExecutable)
  },

  canInstall () {
    return process.getuid?.() === 0 && existsSync('/etc/debian_version') && isExecutable('/usr/bin/apt-get')
  },

  async install (packages) {
    process.stderr.write(`Installing ${packages.join(', ')} with apt-get\n`)
    // Debian starts a service as soon as it is installed, unless this file forbids it.
    const forbids = !existsSync(servicePolicy)
    if (forbids) writeFileSync(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    try {
      await aptGet('update')
      await aptGet('install', '-y', '--no-install-recommends', ...packages)
    } finally {
      if (forbids) rmSync(servicePolicy, { force: true })
    }
  },

  dockerAnswers () {
    return spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000, stdio: 'ignore' }).status === 0
  }
}

/**
 * The account that servers run under when the tests run as root: PostgreSQL and memcached refuse root.
 * Undefined when the tests are not root, so that servers run as whoever runs them.
 */
export function serverAccount (): { uid: number, gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'))
  const [, , uid, gid] = accounts.find(([name]) => name === 'postgres') ?? accounts.find(([name]) => name === 'nobody') ?? []
  return { uid: Number(uid ?? 65534), gid: Number(gid ?? 65534) }
}

function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function aptGet (...args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`apt-get ${args.join(' ')} ended with ${code}: ${output.trim().split('\n').slice(-3).join(' | ')}`))
    })
  })
}
