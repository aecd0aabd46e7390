import t from 'tap'
import { livingTick } from '../../services/tick-shape.js'

t.test('one of the objects behind process.nextTick stays alive', async (t) => {
  t.type((livingTick as { callback?: unknown } | undefined)?.callback, 'function')
})
