// The complete service, as `npm start` composes it.
import { buildApp } from '../../dist/app.js'
import { loadConfig } from '../../dist/config.js'
import { serve } from './serve.mjs'

serve((environment) => buildApp(loadConfig(environment)))
