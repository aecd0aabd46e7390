import t from 'tap'
import { DeadlineError, withDeadline } from '../../../services/cache/deadline.js'

/** Nothing is read meanwhile, and every timer that was set is due. */
function busy (milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

t.test('work that hangs ends with its deadline, and later where there is more time', async (t) => {
  await t.rejects(withDeadline(new Promise(() => {}), 5), DeadlineError)
  const more = [1, 1, 0]
  await t.rejects(withDeadline(new Promise(() => {}), 1, () => more.shift()!), DeadlineError)
  t.strictSame(more, [])
})

t.test('an answer that comes when the time is up is taken, and nobody asks for more time any more', async (t) => {
  let asked = 0
  let answer = (_: string): void => {}
  const result = withDeadline(new Promise<string>((resolve) => { answer = resolve }), 1, () => { asked++; return 1 })
  setTimeout(() => { answer('late') }, 1)
  busy(20)
  t.equal(await result, 'late')
  await new Promise(setImmediate)
  t.equal(asked, 0)
})
