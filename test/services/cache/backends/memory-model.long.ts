import t from 'tap'
import { holdAgainstModel } from './memory-model.js'

t.test('whatever happens, limits and quotas hold, and what is there is what was written', { timeout: 300_000 }, async () => {
  await holdAgainstModel(5000)
})
