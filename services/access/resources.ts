/** The longest pattern, in characters, and how many a credential may have. */
export const MAX_RESOURCE_LENGTH = 1200
export const MAX_RESOURCES = 50

/**
 * What a credential is limited to, as paths: `recipes/7`, `recipes/*`, `cache/default/user:*` (a key of a namespace of the cache).
 * A `*` at the end stands for anything, slashes included; anywhere else it stands for itself, so that one pattern within another
 * is found by comparing their beginnings. Paths are of decoded names: nobody decodes them again.
 */
export class ResourceList {
  readonly patterns: readonly string[]
  readonly #exact: ReadonlySet<string>
  readonly #prefixes: readonly string[]

  constructor (patterns: Iterable<string>) {
    this.patterns = [...new Set(patterns)].sort()
    this.#exact = new Set(this.patterns.filter((pattern) => !pattern.endsWith('*')))
    this.#prefixes = this.patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1))
  }

  /** Whether the one thing is among them. */
  covers (path: string): boolean {
    return this.#exact.has(path) || this.#prefixes.some((prefix) => path.startsWith(prefix) && !leaves(path, prefix))
  }

  /** Whether everything that begins like this is among them: `cache/default/` for `cache/*`. */
  coversAll (beginning: string): boolean {
    return this.#prefixes.some((prefix) => beginning.startsWith(prefix) && !leaves(beginning, prefix))
  }

  /** Whether anything under the path is among them: `cache/default` for `cache/default/user:*`. */
  reaches (path: string): boolean {
    const under = `${path}/`
    return this.#prefixes.some((prefix) => prefix.startsWith(under) || under.startsWith(prefix)) ||
      this.patterns.some((pattern) => pattern.startsWith(under) || pattern === path)
  }

  /** Whether all of the other is among them. */
  includes (other: ResourceList): boolean {
    return other.patterns.every((pattern) => pattern.endsWith('*')
      ? this.#prefixes.some((prefix) => pattern.slice(0, -1).startsWith(prefix))
      : this.covers(pattern))
  }
}

/** Whether the path would lead out of the prefix for somebody who follows `..` in it, as `img/../x` does. Here it is a name like any other. */
function leaves (path: string, prefix: string): boolean {
  if (!path.includes('..')) return false
  const followed: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') followed.pop()
    else if (segment !== '.') followed.push(segment)
  }
  return !followed.join('/').startsWith(prefix)
}
