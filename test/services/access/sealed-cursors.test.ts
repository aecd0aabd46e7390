import t from 'tap'
import { OPEN, SealedCursors } from '../../../services/access/sealed-cursors.js'

void t.test('sealed cursors', async (t) => {
  const sealed = new SealedCursors()
  const a = sealed.of('key:a')
  t.equal(a.open(a.seal('abcdef1x')), 'abcdef1x')
  t.equal(OPEN.open(OPEN.seal('abcdef1x')), 'abcdef1x')
  t.not(a.seal('abcdef1x'), a.seal('abcdef1x'), 'the same place looks different each time')
  t.equal(a.seal('1').length, a.seal('abcdef1234567').length, 'and one far away has the same length')
  const seal = a.seal('abcdef1x')
  const changed = (seal.startsWith('A') ? 'B' : 'A') + seal.slice(1)
  for (const foreign of [sealed.of('key:b').seal('abcdef1x'), new SealedCursors().of('key:a').seal('abcdef1x'), changed, 'abcdef1x', '', '%']) {
    t.throws(() => a.open(foreign), { statusCode: 400, code: 'ERR_INVALID_CURSOR' }, foreign)
  }
})
