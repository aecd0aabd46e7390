import type { Caller } from '../../credential.js'

type Limits = Pick<Caller, 'namespaces' | 'resources'>

/** Whether the cache as a whole is the caller's to see: who is limited to a part of anything is not told about all of it. */
export function reachesCache ({ namespaces, resources }: Limits): boolean {
  return namespaces === null && resources === null
}

/** Whether all products are: for the list, and for new ones. */
export function reachesProducts ({ resources }: Limits): boolean {
  return resources === null || prefixesOf(resources).some((prefix) => 'products/'.startsWith(prefix))
}

export function reachesProduct ({ resources }: Limits, id: number): boolean {
  const name = `products/${id}`
  return resources === null || resources.includes(name) || prefixesOf(resources).some((prefix) => name.startsWith(prefix))
}

function prefixesOf (resources: readonly string[]): string[] {
  return resources.filter((resource) => resource.endsWith('*')).map((resource) => resource.slice(0, -1))
}
