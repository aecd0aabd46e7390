import { COMMON, INDEX } from './common-scripts.js'
import { type IndexScripted, indexScripts } from './index-scripts.js'

/*
 * What Redis does in one step: see `COMMON` for the order of changes, `INDEX` for limits. A script that is given no limits keeps the
 * index right all the same where there is one, as another process may have set them.
 */

/**
 * A `set` is true from now on, so invalidations before it do not concern it. What a load brought, and what a change of the origin
 * resulted in, was true when that began: it keeps that stamp, but a change (`replace`) is a write of now to the loads that follow.
 * Limits hold before and after: what would exceed them is written after its victims are gone.
 *
 * KEYS entry, counter, index. ARGV record, lifetime in ms or '', mode, since, condition, version, channel, message, tombstone, its
 * lifetime; size, strategy, source, most items and most bytes or '', victims at most; most items and bytes of the namespace's quota or ''.
 * Answers stamp (-1 superseded, -2 precondition, -3 there are victims left: once more, -4 too large, -5 everything is reserved for
 * others), whether it existed (for -4: what would fit), who went, and the index's state.
 */
const SET = `${COMMON}${INDEX}
local index = KEYS[3]
local known = redis.call('HMGET', KEYS[2], 'epoch', 'floor')
local epoch, floor = tonumber(known[1]), tonumber(known[2])
local exists, live, stamp, version = read(KEYS[1], floor)
if not permits(ARGV[5], ARGV[6], live, version) then return {-2, 0, {}, ''} end
local name = nameIn(index, KEYS[1])
local state = redis.call('HGET', index, 'state')
if ARGV[3] ~= 'set' then
  local since = tonumber(ARGV[4])
  local older = not epoch or since < epoch or (exists and stamp > since)
  if not older and not exists and state then
    local evicted = redis.call('HGET', index .. ':evicted', bucket(name))
    older = evicted and tonumber(evicted) > since
  end
  if older then
    if ARGV[3] == 'replace' then
      local n = take(KEYS[2])
      bury(KEYS[1], ARGV[9], ARGV[10], n)
      if state then forget(index, name) end
      announce(ARGV[7], n, ARGV[8])
    end
    return {-1, 0, {}, ''}
  end
end
local gone = {}
local namespace = namespaceOf(name)
if ARGV[14] ~= '' or (state and quotaOf(index, namespace)) then
  if not state then
    restart(index)
    state = 'building'
  end
  -- A quota that this process has not heard to be gone comes back for a moment; one that it has not heard of holds all the same.
  if ARGV[17] ~= '' and not quotaOf(index, namespace) then openQuota(index, namespace, tonumber(ARGV[17]), tonumber(ARGV[18])) end
  local home, items, bytes = boundsOf(index, namespace, tonumber(ARGV[14]) or 0, tonumber(ARGV[15]) or 0)
  if home ~= '' and ARGV[17] ~= '' then items, bytes = math.min(items, tonumber(ARGV[17])), math.min(bytes, tonumber(ARGV[18])) end
  if tonumber(ARGV[11]) > bytes then return {-4, bytes, {}, ''} end
  if items < 1 then return {-5, 0, {}, ''} end
  if not exists then forget(index, name) end
  lapse(index, 20)
  local isEnough, isLost
  gone, isEnough, isLost = evict(index, KEYS[2], ARGV[7], ARGV[13], home, ARGV[12], tonumber(ARGV[11]), items, bytes, name, tonumber(ARGV[16]))
  if not isEnough then return {-3, 0, gone, ''} end
  if isLost then state = 'building' end
end
local n = take(KEYS[2])
if state then
  local due
  redis.call('SET', KEYS[1], ARGV[1])
  if ARGV[2] ~= '' then
    due = whole(math.floor(micros() / 1000) + ARGV[2])
    redis.call('PEXPIREAT', KEYS[1], due)
  end
  local strategy, size, uses, tie = fact(index, name)
  if strategy == ARGV[12] then
    if strategy == 'lfu' then unrank(index, name, strategy, tie) end
    count(index, name, 0, ARGV[11] - size)
  else
    forget(index, name)
    count(index, name, 1, ARGV[11])
    uses = 0
  end
  local moment = whole(micros())
  local scores = {lru = moment, lfu = uses + 1, fifo = whole(n), ttl = string.format('%.17g', struct.unpack('<d', ARGV[1], 33))}
  put(index, name, ARGV[12], ARGV[11], uses + 1, moment, scores[ARGV[12]], due)
elseif ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1])
else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
if ARGV[3] ~= 'fill' then redis.call('SETRANGE', KEYS[1], 8, struct.pack('<d', n)) end
if ARGV[3] == 'set' then redis.call('SETRANGE', KEYS[1], 64, struct.pack('<d', n)) end
announce(ARGV[7], n, ARGV[8])
return {n, live and 1 or 0, gone, state or ''}
`

/**
 * A server without room refuses scripts that take some, unless they say that they will (Redis 7). Deletions and invalidations have to be
 * possible there of all things: what they leave behind is smaller than what they take away.
 */
const ALSO_WHEN_FULL = '#!lua flags=allow-oom\n'

/** KEYS entry, counter, index. ARGV tombstone, its lifetime, condition, version, channel, message. */
const DELETE = `${ALSO_WHEN_FULL}${COMMON}${INDEX}
local _, live, _, version = read(KEYS[1], tonumber(redis.call('HGET', KEYS[2], 'floor')))
if not permits(ARGV[3], ARGV[4], live, version) then return {-2, 0} end
local n = take(KEYS[2])
bury(KEYS[1], ARGV[1], ARGV[2], n)
if isIndexed(KEYS[3]) then forget(KEYS[3], nameIn(KEYS[3], KEYS[1])) end
announce(ARGV[5], n, ARGV[6])
return {n, live and 1 or 0}
`

/** KEYS entry, counter, index. ARGV version, expires and gone as in the header, lifetime in ms or '', channel, message. */
const EXPIRE = `${COMMON}${INDEX}
local _, live, _, version = read(KEYS[1], tonumber(redis.call('HGET', KEYS[2], 'floor')))
if not live or version ~= ARGV[1] then return {-2, 0} end
local n = take(KEYS[2])
local due
redis.call('SETRANGE', KEYS[1], 32, ARGV[2])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1])
else
  due = whole(math.floor(micros() / 1000) + ARGV[3])
  redis.call('PEXPIREAT', KEYS[1], due)
end
local index, name = KEYS[3], nameIn(KEYS[3], KEYS[1])
local strategy = fact(index, name)
if strategy then
  if due then redis.call('ZADD', index .. ':due', due, name) else redis.call('ZREM', index .. ':due', name) end
  if strategy == 'ttl' then rank(index, name, strategy, nil, string.format('%.17g', struct.unpack('<d', ARGV[2]))) end
end
announce(ARGV[4], n, ARGV[5])
return {n, 1}
`

/** KEYS counter, ledger. ARGV channel, message, then the ledger's fields. */
const INVALIDATE = `${ALSO_WHEN_FULL}${COMMON}
secure(KEYS[1], KEYS[2])
local n = take(KEYS[1])
for at = 3, #ARGV do redis.call('HSET', KEYS[2], ARGV[at], whole(n)) end
announce(ARGV[1], n, ARGV[2])
return n
`

/** KEYS counter, ledger. Answers the floor, then the ledger's fields and their stamps. */
const IN_FORCE = `${COMMON}
secure(KEYS[1], KEYS[2])
local answer = redis.call('HGETALL', KEYS[2])
table.insert(answer, 1, redis.call('HGET', KEYS[1], 'floor'))
return answer
`

/**
 * KEYS counter, ledger. ARGV the highest stamp that was heard of, or 0: a server that has not given it yet has lost what came between
 * (a fail-over to a replica that lagged, a restart from an older copy), deletions and invalidations among it: then everything is void.
 * Answers the last stamp, the epoch, the time in milliseconds, and the floor.
 */
const PULSE = `${COMMON}
secure(KEYS[1], KEYS[2])
if tonumber(redis.call('HGET', KEYS[1], 'n')) < tonumber(ARGV[1]) then start(KEYS[1], true) end
local known = redis.call('HMGET', KEYS[1], 'n', 'epoch', 'floor')
local time = redis.call('TIME')
return {known[1], known[2], string.format('%.3f', time[1] * 1000 + time[2] / 1000), known[3]}
`

/** KEYS entry, index. ARGV version. */
const DISCARD = `${ALSO_WHEN_FULL}${COMMON}${INDEX}
local _, live, _, version = read(KEYS[1])
if not live or version ~= ARGV[1] then return 0 end
if isIndexed(KEYS[2]) then forget(KEYS[2], nameIn(KEYS[2], KEYS[1])) end
return redis.call('UNLINK', KEYS[1])
`

/**
 * Reads count from when they are reported, which is before the next write of the same process: clocks of others are not exact enough to
 * tell them from writes. KEYS entry, index. ARGV version, reads, accessed as in the header.
 */
const ACCESS = `${COMMON}${INDEX}
local _, live, _, version = read(KEYS[1])
if not live or version ~= ARGV[1] then return 0 end
local reads = struct.unpack('<I4', redis.call('GETRANGE', KEYS[1], 56, 59))
redis.call('SETRANGE', KEYS[1], 48, ARGV[3] .. struct.pack('<I4', math.min(reads + ARGV[2], 4294967295)))
local index, name = KEYS[2], nameIn(KEYS[2], KEYS[1])
local strategy, size, uses, tie = fact(index, name)
if strategy == 'lru' or strategy == 'lfu' then
  local moment = whole(micros())
  if tonumber(moment) < tonumber(tie) then moment = tie end
  if strategy == 'lfu' then unrank(index, name, strategy, tie) end
  uses = uses + ARGV[2]
  redis.call('HSET', index .. ':entries', name, strategy .. ':' .. whole(size) .. ':' .. whole(uses) .. ':' .. moment)
  rank(index, name, strategy, moment, strategy == 'lru' and moment or uses)
end
return 1
`

/** KEYS ledger. ARGV field, stamp. */
const WITHDRAW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`

/**
 * A portion of the entries with the beginning of their records. Here, so that it is asked of the server that has them.
 * KEYS counter. ARGV cursor, pattern, how many at a time, bytes of each. Answers the next cursor, then name, beginning and length of each.
 */
const SCAN = `
local answer = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local found = {answer[1]}
for _, name in ipairs(answer[2]) do
  local head = redis.pcall('GETRANGE', name, 0, ARGV[4] - 1)
  if type(head) == 'string' and #head > 24 then
    found[#found + 1] = name
    found[#found + 1] = head
    found[#found + 1] = redis.call('STRLEN', name)
  end
end
return found
`

/** For ioredis' `defineCommand`: each becomes a method of the client. */
export const scripts = {
  ...indexScripts,
  larderSet: { lua: SET, numberOfKeys: 3 },
  larderDelete: { lua: DELETE, numberOfKeys: 3 },
  larderExpire: { lua: EXPIRE, numberOfKeys: 3 },
  larderInvalidate: { lua: INVALIDATE, numberOfKeys: 2 },
  larderInForce: { lua: IN_FORCE, numberOfKeys: 2 },
  larderPulse: { lua: PULSE, numberOfKeys: 2 },
  larderDiscard: { lua: DISCARD, numberOfKeys: 2 },
  larderAccess: { lua: ACCESS, numberOfKeys: 2 },
  larderWithdraw: { lua: WITHDRAW, numberOfKeys: 1 },
  larderScan: { lua: SCAN, numberOfKeys: 1 }
}

type Argument = string | number | Buffer

/** What a write answers: see `SET`. */
export type SetAnswer = [stamp: number, existed: number, gone: string[], state: '' | 'building' | 'complete']

/** The methods that the scripts add to a client. */
export interface Scripted extends IndexScripted {
  larderSet (...parameters: Argument[]): Promise<SetAnswer>
  larderDelete (...parameters: Argument[]): Promise<[number, number]>
  larderExpire (...parameters: Argument[]): Promise<[number, number]>
  larderInvalidate (...parameters: Argument[]): Promise<number>
  larderInForce (...parameters: Argument[]): Promise<string[]>
  larderPulse (...parameters: Argument[]): Promise<[stamp: string, epoch: string, time: string, floor: string]>
  larderDiscard (...parameters: Argument[]): Promise<number>
  larderAccess (...parameters: Argument[]): Promise<number>
  larderWithdraw (...parameters: Argument[]): Promise<number>
  larderScanBuffer (...parameters: Argument[]): Promise<(Buffer | number)[]>
}
