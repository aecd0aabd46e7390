import type { CacheConfigReply, CacheStatisticsReply } from '../../../schemas/cache-administration.js'
import type { Static } from '@sinclair/typebox'
import { useAsk, useMay } from '../../context.js'
import { BACKENDS } from './place.js'

export interface Backends {
  /** Those that are configured; all there may be for those who may not know. */
  names: readonly string[]
  /** The one that is meant where none is named; undefined while that is not known. */
  preferred: string | undefined
}

export function useBackends (): Backends {
  const may = useMay()
  const knowsConfig = may('config:read')
  const { data } = useAsk(async (api, signal): Promise<Backends | undefined> => {
    if (knowsConfig) {
      const { config, backends } = await api.get<Static<typeof CacheConfigReply>>('/api/cache/config', { signal })
      return { names: Object.keys(backends), preferred: config.backend }
    }
    if (!may('cache:read')) return undefined
    const { statistics } = await api.get<CacheStatisticsReply>('/api/cache/stats', { signal })
    return { names: BACKENDS, preferred: statistics.backend }
  }, [knowsConfig])
  return data ?? { names: BACKENDS, preferred: undefined }
}
