import type { PolicyName } from '../entry.js'
import { AdaptivePolicy } from './adaptive.js'
import { FifoPolicy } from './fifo.js'
import { LfuPolicy } from './lfu.js'
import { LruPolicy } from './lru.js'
import type { Policy } from './policy.js'
import { S3FifoPolicy } from './s3fifo.js'
import { SievePolicy } from './sieve.js'
import type { SlotState } from './slot-state.js'
import { TtlPolicy } from './ttl.js'

/** Every eviction policy by its name in the API. A new one is a file and a line here. */
export const policies: Record<PolicyName, new (state?: SlotState) => Policy> = {
  lru: LruPolicy,
  lfu: LfuPolicy,
  fifo: FifoPolicy,
  ttl: TtlPolicy,
  sieve: SievePolicy,
  s3fifo: S3FifoPolicy,
  adaptive: AdaptivePolicy
}
