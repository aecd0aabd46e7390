/** A setting that does not validate. The message is one line: it names the setting and says what to give. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly setting: string

  constructor (setting: string, message: string) {
    super(message)
    this.setting = setting
  }
}

/** Why, in a word. */
export function reason (error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (code ?? message).split('\n')[0] as string
}
