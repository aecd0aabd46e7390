/** The backends, by the names that the API knows them under. */
export const BACKENDS = ['memory', 'redis', 'memcached', 'database', 'file'] as const
export type BackendName = typeof BACKENDS[number]
/** Those outside the process, behind a memory tier. */
export type SharedBackendName = Exclude<BackendName, 'memory'>
