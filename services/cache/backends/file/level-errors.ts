/** LevelDB's own errors stand behind that of the open. */
function origin (error: unknown): NodeJS.ErrnoException {
  const { cause } = error as { cause?: unknown }
  return (cause instanceof Error ? cause : error) as NodeJS.ErrnoException
}

export const codeOf = (error: unknown): string | undefined => origin(error).code
export const reason = (error: unknown): string => (origin(error).message).split('\n')[0] as string
/** Whether what is on the disk is not what was written there. */
export const isDamage = (error: unknown): boolean => codeOf(error) === 'LEVEL_CORRUPTION'
/** The same, or a file of it is gone. */
export const isRepairable = (error: unknown): boolean => isDamage(error) || (codeOf(error) === 'LEVEL_IO_ERROR' && /No such file/.test(reason(error)))

/** A disk, or a quota on it, that is used up. */
export const isFull = (error: unknown): boolean => /no space left|quota exceeded|file too large/i.test(reason(error))
