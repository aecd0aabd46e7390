import { context, type Context } from '@opentelemetry/api'
import { Command, Redis } from 'ioredis'

type Send = (this: unknown, command: unknown, ...rest: unknown[]) => unknown

/**
 * Commands of one tick go out together, in the context of the first: each is sent in that of whoever gave it instead, so that its span has the right
 * parent. To be called after the instrumentation has put itself around `sendCommand`. Answers how to undo it.
 */
export function keepContexts (): () => void {
  const givenIn = new WeakMap<object, Context>()
  const commands = Command.prototype as unknown as { initPromise: () => void }
  const connections = Redis.prototype as unknown as { sendCommand: Send }
  const { initPromise } = commands
  const { sendCommand } = connections
  // Called when a command is made.
  commands.initPromise = function (this: object) {
    if (!givenIn.has(this)) givenIn.set(this, context.active())
    initPromise.call(this)
  }
  const kept: Send = function (command, ...rest) {
    const given = typeof command === 'object' && command !== null ? givenIn.get(command) : undefined
    return given === undefined ? sendCommand.call(this, command, ...rest) : context.with(given, sendCommand, this, command, ...rest)
  }
  connections.sendCommand = kept
  return () => {
    commands.initPromise = initPromise
    if (connections.sendCommand === kept) connections.sendCommand = sendCommand
  }
}
