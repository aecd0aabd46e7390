/*
 * What Redis does in one step. A write takes the next stamp of the cache's counter, changes the entry, and announces it, so that
 * announcements come in the order of their stamps and none is lost between the write and the announcement.
 *
 * The counter is a hash: `n` the last stamp, `epoch` the first. A lost one (flushed, restarted empty) starts again at the server's
 * time in microseconds, which is far above any stamp given before; the new epoch tells everyone that their memory of the old is void.
 * Offsets are those of `record.ts`, plus one.
 */
const COMMON = `
local function start(counter)
  local time = redis.call('TIME')
  local n = string.format('%.0f', time[1] * 1000000 + time[2])
  redis.call('HSET', counter, 'n', n, 'epoch', n)
  return tonumber(n)
end
local function take(counter)
  local n = redis.call('HINCRBY', counter, 'n', 1)
  if n == 1 then n = start(counter) end
  return n
end
local function announce(channel, n, message)
  redis.call('PUBLISH', channel, string.format('%.0f ', n) .. message)
end
local function read(key)
  local head = redis.call('GETRANGE', key, 0, 23)
  local known = #head == 24
  return known, known and string.byte(head, 3) == 0, known and struct.unpack('<d', head, 9) or 0, string.sub(head, 17, 24)
end
local function bury(key, tombstone, lifetime, n)
  redis.call('SET', key, string.sub(tombstone, 1, 8) .. struct.pack('<d', n) .. string.sub(tombstone, 17), 'PX', lifetime)
end
local function permits(kind, wanted, live, version)
  if kind == 'absent' then return not live or version == wanted end
  if kind == 'version' then return live and version == wanted end
  return true
end
`

/**
 * A `set` is true from now on, so invalidations before it do not concern it. What a load brought, and what a change of the origin
 * resulted in, was true when that began: it keeps that stamp, but a change (`replace`) is a write of now to the loads that follow.
 *
 * KEYS entry, counter. ARGV record, lifetime in ms or '', mode, since, condition, version, channel, message, tombstone, its lifetime. */
const SET = `${COMMON}
local known, live, stamp, version = read(KEYS[1])
if not permits(ARGV[5], ARGV[6], live, version) then return {-2, 0} end
if ARGV[3] ~= 'set' and known and stamp > tonumber(ARGV[4]) then
  if ARGV[3] == 'replace' then
    local n = take(KEYS[2])
    bury(KEYS[1], ARGV[9], ARGV[10], n)
    announce(ARGV[7], n, ARGV[8])
  end
  return {-1, 0}
end
local n = take(KEYS[2])
if ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
if ARGV[3] ~= 'fill' then redis.call('SETRANGE', KEYS[1], 8, struct.pack('<d', n)) end
if ARGV[3] == 'set' then redis.call('SETRANGE', KEYS[1], 64, struct.pack('<d', n)) end
announce(ARGV[7], n, ARGV[8])
return {n, live and 1 or 0}
`

/** KEYS entry, counter. ARGV tombstone, its lifetime, condition, version, channel, message. */
const DELETE = `${COMMON}
local _, live, _, version = read(KEYS[1])
if not permits(ARGV[3], ARGV[4], live, version) then return {-2, 0} end
local n = take(KEYS[2])
bury(KEYS[1], ARGV[1], ARGV[2], n)
announce(ARGV[5], n, ARGV[6])
return {n, live and 1 or 0}
`

/** KEYS entry, counter. ARGV version, expires and gone as in the header, lifetime in ms or '', channel, message. */
const EXPIRE = `${COMMON}
local _, live, _, version = read(KEYS[1])
if not live or version ~= ARGV[1] then return {-2, 0} end
local n = take(KEYS[2])
redis.call('SETRANGE', KEYS[1], 32, ARGV[2])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
announce(ARGV[4], n, ARGV[5])
return {n, 1}
`

/** KEYS counter, ledger. ARGV channel, message, then the ledger's fields. */
const INVALIDATE = `${COMMON}
local n = take(KEYS[1])
for at = 3, #ARGV do redis.call('HSET', KEYS[2], ARGV[at], string.format('%.0f', n)) end
announce(ARGV[1], n, ARGV[2])
return n
`

/** KEYS counter. Answers the last stamp, the epoch, and the time in milliseconds. */
const PULSE = `${COMMON}
local n = redis.call('HGET', KEYS[1], 'n')
if not n then n = string.format('%.0f', start(KEYS[1])) end
local time = redis.call('TIME')
return {n, redis.call('HGET', KEYS[1], 'epoch') or '0', string.format('%.3f', time[1] * 1000 + time[2] / 1000)}
`

/** KEYS entry. ARGV version. */
const DISCARD = `${COMMON}
local _, live, _, version = read(KEYS[1])
if live and version == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
`

/** KEYS entry. ARGV version, reads, accessed as in the header. */
const ACCESS = `${COMMON}
local _, live, _, version = read(KEYS[1])
if not live or version ~= ARGV[1] then return 0 end
local reads = struct.unpack('<I4', redis.call('GETRANGE', KEYS[1], 56, 59))
redis.call('SETRANGE', KEYS[1], 48, ARGV[3] .. struct.pack('<I4', math.min(reads + ARGV[2], 4294967295)))
return 1
`

/** KEYS ledger. ARGV field, stamp. */
const WITHDRAW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`

/** For ioredis' `scripts` option: each becomes a method of the client. */
export const scripts = {
  larderSet: { lua: SET, numberOfKeys: 2 },
  larderDelete: { lua: DELETE, numberOfKeys: 2 },
  larderExpire: { lua: EXPIRE, numberOfKeys: 2 },
  larderInvalidate: { lua: INVALIDATE, numberOfKeys: 2 },
  larderPulse: { lua: PULSE, numberOfKeys: 1 },
  larderDiscard: { lua: DISCARD, numberOfKeys: 1 },
  larderAccess: { lua: ACCESS, numberOfKeys: 1 },
  larderWithdraw: { lua: WITHDRAW, numberOfKeys: 1 }
}

type Argument = string | number | Buffer

/** The methods that the scripts add to a client. */
export interface Scripted {
  larderSet (...parameters: Argument[]): Promise<[number, number]>
  larderDelete (...parameters: Argument[]): Promise<[number, number]>
  larderExpire (...parameters: Argument[]): Promise<[number, number]>
  larderInvalidate (...parameters: Argument[]): Promise<number>
  larderPulse (...parameters: Argument[]): Promise<[string, string, string]>
  larderDiscard (...parameters: Argument[]): Promise<number>
  larderAccess (...parameters: Argument[]): Promise<number>
  larderWithdraw (...parameters: Argument[]): Promise<number>
}
