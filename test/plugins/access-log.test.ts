import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const script = `
  import Fastify from 'fastify'
  import accessLog from './plugins/access-log.ts'
  import metrics from './plugins/metrics.ts'
  import requests from './plugins/requests.ts'
  const app = Fastify()
  await app.register(metrics, { enabled: false })
  await app.register(accessLog, { enabled: true })
  await app.register(requests)
  app.get('/', async () => 'here')
  await app.ready()
  process.send('ready')
  await new Promise((resolve) => process.once('message', resolve))
  for (let round = 0; round < 3; round++) {
    await app.inject('/')
    app.accessLog.flush()
    // The fault of a write comes some turns later.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  process.send((await app.inject('/')).statusCode)
  await app.close()
  process.disconnect()
`

t.test('requests are answered when nobody reads the log any more', async (t) => {
  const child = spawn(process.execPath, ['--import', './test/support/typescript.mjs', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  t.teardown(() => { child.kill() })
  const ended = once(child, 'exit')
  await once(child, 'message')
  child.stdout?.destroy()
  const answered = once(child, 'message')
  child.send('go on')
  t.same(await Promise.race([answered, ended]), [200, undefined])
  t.same(await ended, [0, null])
})
