import type { Misfit } from './schema-fit.js'

const RELEASE = /^## /m

/** What the changelog says of breaking changes since the last release: the lines with `**Breaking**` under its first heading, which has to be unreleased. */
export function announcements (changelog: string): string[] {
  const [, newest = ''] = changelog.split(RELEASE)
  const [heading = '', ...rest] = newest.split('\n')
  if (!/unreleased/i.test(heading)) return []
  // An item of the list goes on over lines that are set in.
  return rest.join('\n').replace(/\n {2,}/g, ' ').split('\n').filter((line) => line.includes('**Breaking**'))
}

/** The changes that no announcement names, by their operation or schema. */
export function unannounced (changes: Misfit[], changelog: string): Misfit[] {
  const words = new Set(announcements(changelog).flatMap((line) => line.match(/[\w-]+/g) ?? []))
  return changes.filter(({ subject }) => !words.has(subject))
}
