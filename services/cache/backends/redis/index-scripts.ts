import { COMMON, INDEX } from './common-scripts.js'

/*
 * What the index of the limits needs beside the writes: see `INDEX`. KEYS are counter, index.
 */

/** Begins an index where there is none. Answers its state, its generation, its cursor, and the run of the server that cursors are of. */
const OPEN = `${COMMON}${INDEX}
if not isIndexed(KEYS[2]) then restart(KEYS[2]) end
local known = redis.call('HMGET', KEYS[2], 'state', 'generation', 'cursor')
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
return {known[1], known[2], known[3] or '', run}
`

/**
 * Takes in entries that were there before the index, unless they are in it. ARGV generation, cursor to go on from, then name, version,
 * size and strategy of each. Answers 0 when the index is another one by now.
 */
const ADD = `${COMMON}${INDEX}
local index = KEYS[2]
if redis.call('HGET', index, 'generation') ~= ARGV[1] then return 0 end
for at = 3, #ARGV, 4 do
  local name, strategy = ARGV[at], ARGV[at + 3]
  local key = prefixOf(index) .. name
  if redis.call('HEXISTS', index .. ':entries', name) == 0 then
    local head = redis.call('GETRANGE', key, 0, 71)
    if #head == 72 and string.byte(head, 3) == 0 and string.sub(head, 17, 24) == ARGV[at + 1] then
      local left, due = redis.call('PTTL', key), nil
      if left >= 0 then
        due = whole(math.floor(micros() / 1000) + left)
        redis.call('PEXPIREAT', key, due)
      end
      local accessed = whole(struct.unpack('<d', head, 49) * 1000)
      local uses = struct.unpack('<I4', head, 57) + 1
      local scores = {lru = accessed, lfu = uses, fifo = whole(struct.unpack('<d', head, 9)), ttl = string.format('%.17g', struct.unpack('<d', head, 33))}
      put(index, name, strategy, tonumber(ARGV[at + 2]), uses, accessed, scores[strategy], due)
      count(index, name, 1, tonumber(ARGV[at + 2]))
    end
  end
end
redis.call('HSET', index, 'cursor', ARGV[2])
return 1
`

/** Everything there was has been taken in. ARGV generation. Answers 0 when the index is another one by now. */
const DONE = `
if redis.call('HGET', KEYS[2], 'generation') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'state', 'complete')
redis.call('HDEL', KEYS[2], 'cursor')
return 1
`

const DROP = `${COMMON}${INDEX}
drop(KEYS[2])
return 1
`

/**
 * Makes room, in each pool by itself. ARGV channel, source, most items, most bytes, victims at most. Answers whether the limits hold,
 * and who went.
 */
const SHRINK = `${COMMON}${INDEX}
local index, most = KEYS[2], tonumber(ARGV[5])
if not isIndexed(index) then return {1, {}} end
local all = {}
local namespaces = redis.call('HKEYS', index .. ':quotas')
-- No namespace is called so: for those without a quota.
namespaces[#namespaces + 1] = ':'
for _, namespace in ipairs(namespaces) do
  local home, items, bytes = boundsOf(index, namespace, tonumber(ARGV[3]), tonumber(ARGV[4]))
  local gone, isEnough = evict(index, KEYS[1], ARGV[1], ARGV[2], home, 'lru', 0, items, bytes, nil, most - #all / 2)
  for _, each in ipairs(gone) do all[#all + 1] = each end
  if not isEnough or #all >= 2 * most then return {0, all} end
end
return {1, all}
`

/** Sets the quotas, all there are. ARGV namespace, items and bytes of each. */
const QUOTAS = `${COMMON}${INDEX}
local index, given = KEYS[2], {}
if not isIndexed(index) then restart(index) end
for at = 1, #ARGV, 3 do
  given[ARGV[at]] = true
  openQuota(index, ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
end
for _, namespace in ipairs(redis.call('HKEYS', index .. ':quotas')) do
  if not given[namespace] then closeQuota(index, namespace) end
end
return 1
`

/** Brings a portion of entries to where a quota that came or went wants them. Answers whether there may be more. */
const PLACE = `${COMMON}${INDEX}
return placeAny(KEYS[2]) and 1 or 0
`

/** ARGV namespace, or '' for all. Answers items and bytes; one element fewer when there is more to drop first; nothing without an index. */
const USAGE = `${COMMON}${INDEX}
if redis.call('HGET', KEYS[2], 'state') ~= 'complete' then return {} end
if lapse(KEYS[2], 1000) == 1000 then return {0} end
local of = ARGV[1] == '' and '' or ':' .. ARGV[1]
local totals = redis.call('HMGET', KEYS[2], 'items' .. of, 'bytes' .. of)
return {tonumber(totals[1]) or 0, tonumber(totals[2]) or 0}
`

/** Drops from the index what the server has evicted by a policy of its own. ARGV cursor. Answers the next cursor. */
const MEND = `${COMMON}${INDEX}
local answer = redis.call('HSCAN', KEYS[2] .. ':entries', ARGV[1], 'COUNT', 1000)
for at = 1, #answer[2], 2 do
  if redis.call('EXISTS', prefixOf(KEYS[2]) .. answer[2][at]) == 0 then forget(KEYS[2], answer[2][at]) end
end
return answer[1]
`

export const indexScripts = {
  larderIndexOpen: { lua: OPEN, numberOfKeys: 2 },
  larderIndexAdd: { lua: ADD, numberOfKeys: 2 },
  larderIndexDone: { lua: DONE, numberOfKeys: 2 },
  larderIndexDrop: { lua: DROP, numberOfKeys: 2 },
  larderIndexMend: { lua: MEND, numberOfKeys: 2 },
  larderIndexQuotas: { lua: QUOTAS, numberOfKeys: 2 },
  larderIndexPlace: { lua: PLACE, numberOfKeys: 2 },
  larderShrink: { lua: SHRINK, numberOfKeys: 2 },
  larderUsage: { lua: USAGE, numberOfKeys: 2 }
}

type Argument = string | number | Buffer

/** The methods that these scripts add to a client. */
export interface IndexScripted {
  larderIndexOpen (...parameters: Argument[]): Promise<[state: 'building' | 'complete', generation: string, cursor: string, run: string]>
  larderIndexAdd (...parameters: Argument[]): Promise<number>
  larderIndexDone (...parameters: Argument[]): Promise<number>
  larderIndexDrop (...parameters: Argument[]): Promise<number>
  larderIndexMend (...parameters: Argument[]): Promise<string>
  larderIndexQuotas (...parameters: Argument[]): Promise<number>
  larderIndexPlace (...parameters: Argument[]): Promise<number>
  larderShrink (...parameters: Argument[]): Promise<[isEnough: number, gone: string[]]>
  larderUsage (...parameters: Argument[]): Promise<number[]>
}
