import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { OtlpReceiver, SERVER } from './support/otlp-receiver.js'
import { databaseUrl } from './support/servers.js'

/** Prints which modules of OpenTelemetry are loaded once a request has been answered, but for the empty interface that prom-client brings. */
const loading = `
  import { createRequire } from 'node:module'
  import { buildApp } from './dist/app.js'
  import { loadConfig } from './dist/config.js'
  const app = await buildApp(loadConfig())
  await (await fetch(await app.listen({ port: 0 }) + '/products?nocache=true')).text()
  console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache).filter((path) => /@opentelemetry.(?!api\\b)|@fastify.otel|in-the-middle/.test(path))))
  await app.close()
`
/** Finds one package no more. */
const missing = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module'
  register('data:text/javascript,' + encodeURIComponent(\`export async function resolve (name, context, next) {
    if (name !== '@opentelemetry/exporter-trace-otlp-http') return await next(name, context)
    throw Object.assign(new Error("Cannot find package '" + name + "' imported from somewhere"), { code: 'ERR_MODULE_NOT_FOUND' })
  }\`))
`)}`

async function run (args: string[], env: Record<string, string>): Promise<{ code: number | null, out: string, err: string }> {
  const child = spawn(process.execPath, args, { env: { PATH: process.env['PATH'], LOG_LEVEL: 'silent', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close') as Promise<[number | null]>])
  return { code, out, err }
}

t.test('nothing of OpenTelemetry is loaded unless there is a collector; then requests and statements are seen, although modules import each other', async (t) => {
  const base = { DATABASE_URL: await databaseUrl(t) }
  const receiver = await OtlpReceiver.start(t)
  const loaded = async (env: Record<string, string>): Promise<string[]> => {
    const { code, out, err } = await run(['--input-type=module', '-e', loading], { ...base, ...env })
    t.same([code, err], [0, ''])
    return JSON.parse(out) as string[]
  }
  t.same(await loaded({}), [])
  t.ok((await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })).length > 50)
  const server = receiver.spans.find(({ kind }) => kind === SERVER)
  const statement = receiver.spans.find(({ attributes }) => String(attributes['db.query.text']).includes('FROM products'))
  t.match([server?.name, statement?.name, statement?.traceId], ['GET /products', 'pg.query:SELECT', server?.traceId])
})

t.test('without the packages the start is refused in one line that says what to install', async (t) => {
  const { code, out, err } = await run(['--import', missing, 'dist/server.js'], { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' })
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /^larder: OTEL_EXPORTER_OTLP_ENDPOINT needs @opentelemetry\/exporter-trace-otlp-http, which is not installed: install [^\n]*\n$/)
})
