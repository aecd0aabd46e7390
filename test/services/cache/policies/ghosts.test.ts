import t from 'tap'
import { Ghosts } from '../../../../services/cache/policies/ghosts.js'
import { Random } from '../random.js'

t.test('what was added within reach is recalled, once', async (t) => {
  const random = new Random()
  const ghosts = new Ghosts()
  let capacity = 8
  ghosts.resize(capacity)
  let model: (number | undefined)[] = []
  const differences: string[] = []
  for (let step = 0; step < 50_000; step++) {
    if (step % 10_000 === 9999) ghosts.resize(capacity *= 2)
    const hash = (random.below(60) - 30) * 1024 + random.below(2)
    if (random.chance(0.5)) {
      ghosts.add(hash)
      // When it grows, it knows what it had room for before.
      model = [...model, hash].slice(-capacity)
      continue
    }
    const reach = random.below(capacity + 1)
    const at = model.lastIndexOf(hash)
    const expected = at !== -1 && model.length - at <= reach
    if (ghosts.recall(hash, reach) !== expected) differences.push(`${hash} at ${step}`)
    if (expected) model[at] = undefined
  }
  t.strictSame(differences.slice(0, 3), [], `seed ${random.seed}`)
})

t.test('without room nothing is recalled', async (t) => {
  const ghosts = new Ghosts()
  t.notOk(ghosts.recall(0, 100), 'nothing was added')
  ghosts.resize(100)
  ghosts.add(7)
  t.notOk(ghosts.recall(7, 0), 'no reach')
  t.ok(ghosts.recall(7, 1))
})
