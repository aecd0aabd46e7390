export { createLarderClient, type LarderClient, type LarderClientOptions } from './client.js'
export { messages, type Message } from './messages.js'
export { ok, LarderProblem } from './problem.js'
export type * from './schema.js'
