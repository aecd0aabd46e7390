import t from 'tap'
import { locate, serverNames, ServersMissingError, type Probes, type ServerName } from '../../../tools/servers/locate.js'

/** A machine where nothing is found, but for what a test says; it notes what was asked of it. */
function pretend (machine: Partial<Probes> = {}): Probes & { asked: string[] } {
  const asked: string[] = []
  return {
    env: {},
    find: () => undefined,
    canInstall: () => false,
    install: async (packages) => { asked.push(`install ${packages.join(' ')}`) },
    dockerAnswers: () => { asked.push('docker'); return false },
    ...machine,
    asked
  }
}

t.test('an address given wins over a program', async (t) => {
  const probes = pretend({ env: { TEST_REDIS_URL: 'redis://cache:6379' }, find: (server) => `/usr/bin/${server}` })
  t.strictSame(await locate(serverNames, probes), {
    postgres: { kind: 'program', path: '/usr/bin/postgres' },
    redis: { kind: 'address', url: 'redis://cache:6379' },
    memcached: { kind: 'program', path: '/usr/bin/memcached' }
  })
  t.strictSame(probes.asked, [])
})

t.test('an empty address counts as none', async (t) => {
  const probes = pretend({ env: { TEST_DATABASE_URL: '' }, find: () => '/opt/pg/bin/initdb' })
  t.strictSame(await locate(['postgres'], probes), { postgres: { kind: 'program', path: '/opt/pg/bin/initdb' } })
})

t.test('root on Debian installs what is missing, that alone, before Docker is asked', async (t) => {
  const installed = new Set<ServerName>(['memcached'])
  const asked: string[] = []
  const probes = pretend({
    find: (server) => installed.has(server) ? `/usr/bin/${server}` : undefined,
    canInstall: () => true,
    install: async (packages) => {
      asked.push(...packages)
      installed.add('postgres').add('redis')
    }
  })
  t.match(await locate(serverNames, probes), { postgres: { kind: 'program' }, redis: { kind: 'program' }, memcached: { kind: 'program' } })
  t.strictSame(asked, ['postgresql', 'redis-server'])
  t.strictSame(probes.asked, [])
})

t.test('Docker runs what could not be installed', async (t) => {
  const probes = pretend({
    find: (server) => server === 'redis' ? '/usr/bin/redis-server' : undefined,
    canInstall: () => true,
    install: async () => { throw new Error('apt-get update ended with 100') },
    dockerAnswers: () => true
  })
  t.match(await locate(serverNames, probes), {
    postgres: { kind: 'image', image: /^postgres:/ }, redis: { kind: 'program' }, memcached: { kind: 'image', image: /^memcached:/ }
  })
})

t.test('nothing is installed by somebody who is not root', async (t) => {
  const probes = pretend({ dockerAnswers: () => true })
  await locate(['redis'], probes)
  t.strictSame(probes.asked, [])
})

t.test('what cannot be found stops the run with the command to run', async (t) => {
  const failure = await locate(serverNames, pretend({
    env: { TEST_DATABASE_URL: 'postgres://db/test' }, canInstall: () => true, install: async () => { throw new Error('no network') }
  })).catch((error: unknown) => error)
  if (!(failure instanceof ServersMissingError)) throw failure
  t.match(failure.message, 'redis, memcached cannot be found or started here')
  t.match(failure.message, '\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server memcached\n')
  t.match(failure.message, 'TEST_REDIS_URL=… TEST_MEMCACHED_URL=…')
  t.match(failure.message, '(tried: no network)')
  t.notMatch(failure.message, 'TEST_DATABASE_URL')
})
