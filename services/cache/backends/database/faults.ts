const codeOf = (error: unknown): string | undefined => {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}

/** Disk or memory is used up: reads go on. */
export const isFull = (error: Error): boolean => codeOf(error) === '53100' || codeOf(error) === '53200'

/** Classes and codes of SQLSTATE that say nothing about the statement: connections, resources, operators, locks, a read-only server. */
const OUTAGES = /^(08...|28...|3D...|53...|57...|58...|25006|40001|40P01|55P03)$/
const SQLSTATE = /^[0-9A-Z]{5}$/

/** Anything but an answer of PostgreSQL that says the statement itself was wrong. */
export function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError || isFull(error)) return false
  const code = codeOf(error)
  // Lost connections, exhausted pools and missed deadlines come without a code, or with one of Node's (EPIPE looks like an SQLSTATE).
  return code === undefined || !SQLSTATE.test(code) || code === 'EPIPE' || OUTAGES.test(code)
}

/** What says nothing against asking again at once: a lost connection, or one that was not to be had; not one that hangs. */
export function isPassing (error: unknown): boolean {
  if (!isOutage(error)) return false
  const code = codeOf(error)
  if (code === undefined) return !/timeout/i.test((error as Error).message)
  return !SQLSTATE.test(code) || code === 'EPIPE' || /^(08...|57P0[123]|40001|40P01|55P03)$/.test(code)
}
