import t from 'tap'
import { Sealer } from '../../../../services/access/valet/sealer.js'

const secret = Buffer.from('something that nobody is to read')

t.test('what is sealed is opened by the same secret, for the same purpose, with what it is bound to', async (t) => {
  const sealer = new Sealer(['one'], 'tests')
  const sealed = sealer.seal(secret, 'a')
  t.strictSame(new Sealer(['one'], 'tests').open(sealed, 'a'), secret)
  t.notOk(sealed.includes(secret))
  t.notSame(sealer.seal(secret, 'a'), sealed, 'and never looks the same')
  t.equal(sealer.open(sealed, 'b'), undefined)
  t.equal(new Sealer(['two'], 'tests').open(sealed, 'a'), undefined)
  t.equal(new Sealer(['one'], 'else').open(sealed, 'a'), undefined)
})

t.test('what was changed since, or cut short, is not opened', async (t) => {
  const sealer = new Sealer(['one'], 'tests')
  const sealed = sealer.seal(secret, 'a')
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    t.equal(sealer.open(changed, 'a'), undefined, `byte ${at}`)
    t.equal(sealer.open(sealed.subarray(0, at), 'a'), undefined)
  }
})

t.test('of several secrets the first seals, and all open', async (t) => {
  const [before, both, after] = [new Sealer(['old'], 'tests'), new Sealer(['new', 'old'], 'tests'), new Sealer(['new'], 'tests')]
  t.strictSame(both.open(before.seal(secret, 'a'), 'a'), secret)
  t.strictSame(after.open(both.seal(secret, 'a'), 'a'), secret)
  t.equal(before.open(both.seal(secret, 'a'), 'a'), undefined)
  t.throws(() => new Sealer([], 'tests'), TypeError)
})
