import t from 'tap'
import { holdAgainstModel } from './memory-model.js'

t.test('whatever happens, limits and quotas hold, and what is there is what was written', async () => {
  await holdAgainstModel(200)
})
