import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { eventually } from './support/caches.js'
import { databaseUrl } from './support/servers.js'

const server = fileURLToPath(new URL('../server.ts', import.meta.url))

/** A real process, in an empty folder, with this environment and no other. */
function start (t: Test, env: Record<string, string>, { cwd, imports = [] }: { cwd: string, imports?: string[] }) {
  const loaders = [import.meta.resolve('tsx'), ...imports].flatMap((url) => ['--import', url])
  const child = spawn(process.execPath, [...loaders, server], { cwd, env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { out += chunk })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { err += chunk })
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null, out, err }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })

  /** The first match in the log; throws when the process ends without. */
  async function logged (pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(out)
      if (match) return match
      const end = await Promise.race([ended, once(child.stdout, 'data').then(() => undefined)])
      if (end && !pattern.test(end.out)) throw new Error(`ended without ${pattern.source}: ${end.out}${end.err}`)
    }
  }
  const listening = async () => Number((await logged(/Larder listens at https?:\/\/[^"]*:(\d+)/))[1])
  return { child, ended, logged, listening, kill: (signal: NodeJS.Signals) => child.kill(signal) }
}

/** Begins a request that is not finished until its last byte is sent, on a connection that is to be kept. */
async function beginRequest (port: number): Promise<{ socket: Socket, finish: () => Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const body = JSON.stringify({ key: 'greeting', value: 'hello' })
  socket.write(`POST /api/cache/set HTTP/1.1\r\nhost: larder\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nexpect: 100-continue\r\n\r\n`)
  // The answer to `expect` tells that the service has the request.
  await once(socket, 'readable')
  socket.write(body.slice(0, 5))
  return {
    socket,
    finish: async () => {
      socket.write(body.slice(5))
      return text(socket)
    }
  }
}

t.test('a bad setting ends the start with one line on stderr and status 1', async (t) => {
  const folder = t.testdir({ '.env': 'PORT=http\n' })
  const cases: [Record<string, string>, RegExp][] = [
    [{ PORT: '0', HOST: '0.0.0.0' }, /^larder: HOST=0\.0\.0\.0 can be reached from other machines.* ALLOW_UNAUTHENTICATED=true [^\n]*\n$/],
    [{ PORT: '0', CACHE_AUTH_ENABLED: 'true' }, /^larder: CACHE_AUTH_ENABLED=true [^\n]*\n$/],
    [{}, /^larder: PORT must be [^\n]*\n$/]
  ]
  await Promise.all(cases.map(async ([env, line]) => {
    const { code, out, err } = await start(t, env, { cwd: folder }).ended
    t.equal(code, 1)
    t.match(err, line)
    t.equal(out, '')
  }))
})

t.test('on a bare machine', async (t) => {
  const folder = t.testdir({ '.env': 'PORT=0\nDATA_DIR=kept\nREDIS_PASSWORD=s3cret\n' })
  const withoutDatabase = start(t, { DATABASE_URL: 'postgres://larder:hidden@127.0.0.1:1/larder' }, { cwd: folder })
  const larder = start(t, {}, { cwd: folder })
  const port = await larder.listening()

  t.match(await larder.logged(/"msg":"(embedded[^"]*)"/), { 1: 'embedded PostgreSQL in kept (DATABASE_URL replaces it), memory cache' },
    'one line says what is embedded and which settings replace it')
  t.match(await larder.logged(/REDIS_PASSWORD[^"]*/), { 0: /^REDIS_PASSWORD are not used without REDIS_URL/ }, 'and what has no effect')
  const ready = await fetch(`http://127.0.0.1:${port}/health/ready`)
  t.equal(ready.status, 200)

  t.test('a second process is told what is in use', async (t) => {
    const [folderTaken, portTaken] = await Promise.all([
      start(t, { PORT: '0', DATA_DIR: join(folder, 'kept') }, { cwd: folder }).ended,
      start(t, { PORT: String(port), DATABASE_URL: await databaseUrl(t) }, { cwd: folder }).ended
    ])
    t.equal(folderTaken.code, 1)
    t.match(folderTaken.err, /^larder: [^\n]*kept[^\n]*DATA_DIR[^\n]*DATABASE_URL[^\n]*\n$/)
    t.equal(portTaken.code, 1)
    t.equal(portTaken.err, `larder: port ${port} on 127.0.0.1 is taken: stop what listens there, or give another PORT.\n`)
  })

  t.test('a start without the PostgreSQL that it is given ends in words', async (t) => {
    const { code, err, out } = await withoutDatabase.ended
    t.equal(code, 1)
    t.match(err, /^larder: PostgreSQL at 127\.0\.0\.1:1 cannot be used \([^\n]*\): check DATABASE_URL, and that the server runs\.\n$/)
    t.notMatch(out + err, /hidden/)
  })

  t.test('SIGTERM finishes what is under way and exits with 0', async (t) => {
    const { finish } = await beginRequest(port)
    larder.kill('SIGTERM')
    await larder.logged(/SIGTERM: finishing what is under way/)
    const ready = await fetch(`http://127.0.0.1:${port}/health/ready`)
    t.equal(ready.status, 503, 'whoever looks is told')
    t.equal(ready.headers.get('connection'), 'close', 'and to come on another connection')
    t.match(await ready.json(), { status: 'stopping' })
    await eventually(async () => await fetch(`http://127.0.0.1:${port}/health/live`).then(() => false, () => true), 'new connections are refused')
    const finished = performance.now()
    t.match(await finish(), /HTTP\/1\.1 200 OK/)
    const { code, out, err } = await larder.ended
    t.equal(code, 0)
    t.ok(performance.now() - finished < 6000, 'and does not wait for a kept connection to be used again')
    t.equal(err, '')
    t.notMatch(out, /s3cret/, 'no secret was logged')
  })
})

t.test('on a database server', async (t) => { // which starts faster than an embedded one
  const folder = t.testdir()
  const env = { PORT: '0', DATABASE_URL: await databaseUrl(t) }

  t.test('with a certificate it serves HTTPS; a second signal does not wait', async (t) => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
    const larder = start(t, { ...env, TLS_CERT_FILE: cert, TLS_KEY_FILE: key }, { cwd: folder })
    const port = await larder.listening()
    t.match(await getOverTls(port, readFileSync(cert)), { status: 200, body: '{"status":"healthy"}' })

    const slow = connect(port, '127.0.0.1') // its handshake never comes
    await once(slow, 'connect')
    larder.kill('SIGINT')
    await larder.logged(/SIGINT: finishing/)
    t.equal(larder.child.exitCode, null, 'the first waits')
    larder.kill('SIGINT')
    t.equal((await larder.ended).code, 1)
    slow.destroy()
  })

  t.test('an error that nothing catches is logged, and ends the process with 1', async (t) => {
    const fault = 'data:text/javascript,process.on("SIGCONT", () => { Promise.reject(new Error("lost")) })'
    const larder = start(t, env, { cwd: folder, imports: [fault] })
    await larder.listening()
    larder.kill('SIGCONT')
    const { code, out } = await larder.ended
    t.equal(code, 1)
    t.match(out, /"level":60.*"message":"lost".*an error that nothing caught/)
  })
})

function getOverTls (port: number, ca: Buffer): Promise<{ status: number | undefined, body: string }> {
  return new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', servername: 'localhost', path: '/health', ca, agent: false }, (response) => {
      text(response).then((body) => { resolve({ status: response.statusCode, body }) }, reject)
    }).on('error', reject).end()
  })
}
