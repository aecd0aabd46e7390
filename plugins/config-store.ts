import fp from 'fastify-plugin'
import { RunTimeSettings } from '../schemas/config.js'
import { ConfigStore, type SettingChanges } from '../services/config-store.js'
import { parseRates } from '../services/limits/rates.js'
import { SettingFeed } from '../services/setting-feed.js'
import { SettingInstances } from '../services/setting-instances.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The settings that may change while running. */
    configStore: ConfigStore
    /** Their changes, for listeners. */
    settingFeed: SettingFeed
    /** Which of them each process lives by. */
    settingInstances: SettingInstances
  }
}

export interface ConfigStorePluginOptions {
  /** What the environment says; it wins over the schema's defaults and loses to what is stored. */
  initial: SettingChanges
  /** Whether other processes may write to the same database. */
  shared: boolean
}

/** Milliseconds. Twice a second, so that a change is everywhere within one. */
const POLL_INTERVAL = 500

export default fp<ConfigStorePluginOptions>(async function configStore (app, { initial, shared }) {
  const store = new ConfigStore({
    database: app.database,
    schema: RunTimeSettings,
    initial,
    parsers: { 'rate_limits.requests': parseRates, 'rate_limits.failed_logins': parseRates },
    pollInterval: shared ? POLL_INTERVAL : undefined,
    log: app.log
  })
  await store.load()
  store.watch()
  app.decorate('configStore', store)
  const instances = new SettingInstances({ database: app.database, store, log: app.log })
  await instances.start()
  app.decorate('settingInstances', instances)
  app.addHook('onListen', async () => { await instances.serves() })
  const feed = new SettingFeed({ store, onFault: (err) => { app.log.warn({ err }, 'those who watch the settings wait: the history cannot be read') } })
  feed.start()
  app.decorate('settingFeed', feed)
  app.addHook('onClose', async () => {
    await feed.stop()
    await instances.close()
    await store.close()
  })
}, { name: 'config-store', fastify: '5.x', dependencies: ['postgres'] })
