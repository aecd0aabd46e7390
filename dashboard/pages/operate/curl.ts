/** Where each resource is read without saying which. */
const READS: Record<string, string> = {
  cache: '/api/cache/keys',
  items: '/items',
  products: '/products',
  recipes: '/recipes',
  users: '/api/users/1',
  posts: '/api/posts/',
  events: '/events',
  config: '/config',
  valet: '/valet/tokens',
  keys: '/keys',
  metrics: '/metrics',
  audit: '/audit'
}
/** What can be sent where nothing may be read. */
const WRITES: Record<string, [path: string, body: object]> = {
  'cache:write': ['/api/cache/set', { key: 'hello', value: 'world' }],
  'items:write': ['/items', { name: 'Alice' }],
  'posts:write': ['/api/posts/', { title: 'Hello' }],
  'events:write': ['/events', { channel: 'test', event: { hello: 'world' } }],
  'valet:issue': ['/valet/token', { scopes: ['cache:read'] }]
}

export interface Bearer { secret: string, scopes: readonly string[], resources?: readonly string[] | null | undefined, namespaces?: readonly string[] | null | undefined }

/** A line for a shell that uses the credential for something that it may do. */
export function curlLine (origin: string, { secret, scopes, resources, namespaces }: Bearer): string {
  const authorization = `-H ${quoted(`Authorization: Bearer ${secret}`)}`
  const readable = Object.keys(READS).filter((resource) => ['*', `${resource}:*`, '*:*', '*:read', `${resource}:read`].some((scope) => scopes.includes(scope)))
  const [first] = readable
  if (first !== undefined) {
    const thing = resources?.map((each) => pathOf(each, readable)).find((path) => path !== undefined)
    const namespace = first === 'cache' && namespaces?.[0] !== undefined ? `?namespace=${encodeURIComponent(namespaces[0])}` : ''
    const path = thing ?? `${READS[first]}${namespace}`
    return `curl ${path === READS['events'] ? '-N ' : ''}${authorization} ${quoted(`${origin}${path}`)}`
  }
  const write = scopes.map((scope) => WRITES[scope]).find((each) => each !== undefined)
  if (write === undefined) return `curl ${authorization} ${quoted(`${origin}/health`)}`
  const [path, body] = write
  return `curl ${authorization} -H ${quoted('Content-Type: application/json')} -d ${quoted(JSON.stringify(body))} ${quoted(`${origin}${path}`)}`
}

/** The path that reads a resource which is named whole. */
function pathOf (resource: string, readable: readonly string[]): string | undefined {
  const [kind = '', ...rest] = resource.split('/')
  if (!readable.includes(kind) || resource.endsWith('*') || rest.length === 0) return undefined
  if (kind === 'cache') {
    const [namespace = '', ...key] = rest
    return key.length === 0 ? undefined : `/api/cache/get/${encodeURIComponent(key.join('/'))}?namespace=${encodeURIComponent(namespace)}`
  }
  const base: Record<string, string> = { users: '/api/users' }
  return ['items', 'products', 'recipes', 'users'].includes(kind) ? `${base[kind] ?? `/${kind}`}/${encodeURIComponent(rest.join('/'))}` : undefined
}

/** For a POSIX shell. */
function quoted (text: string): string {
  return `'${text.replaceAll("'", '\'\\\'\'')}'`
}
