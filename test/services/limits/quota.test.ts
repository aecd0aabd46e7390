import t from 'tap'
import { newDecision } from '../../../services/limits/gcra.js'
import { Quota } from '../../../services/limits/quota.js'
import { parseRates } from '../../../services/limits/rates.js'

t.test('refusals are counted by the name of their policy under 32 names, and under one more for all others', async (t) => {
  const refusals = new Map<string, number>()
  for (let seconds = 1; seconds <= 1000; seconds++) {
    const quota = new Quota('own', parseRates(`1/${seconds} seconds`), { prefix: 'key-', refusals })
    quota.refuse({ ...newDecision(), violated: 0 })
  }
  t.equal(refusals.size, 33)
  t.equal(refusals.get('key-per-2-seconds'), 1)
  t.equal(refusals.get('key-other'), 968, 'none is left out')
})
