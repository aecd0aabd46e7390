/** JSON that another process wrote; undefined for what is none, since anybody may write to the same Redis. */
export function parsed<T> (text: string): T | undefined {
  try {
    return JSON.parse(text) as T ?? undefined
  } catch {
    return undefined
  }
}
