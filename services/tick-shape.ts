import { createHook } from 'node:async_hooks'

let tick: object | undefined
const hook = createHook({ init (_id, type, _trigger, resource) { if (type === 'TickObject') tick = resource } }).enable()
process.nextTick(() => {})
hook.disable()

/**
 * One of the objects that `process.nextTick` makes, alive as long as the process.
 *
 * V8 forgets their shape when it collects garbage while none of them is alive, as it does in a pause, and from then on each tick
 * costs five to eight times as much (Node 20: 42 ns, then 220; Node 24: 43, then 320). A request takes about five ticks. While one
 * object lives, its shape stays known.
 */
export const livingTick = tick
