/*
 * The order of changes in one step each: a counter (a hash: `n` the last stamp, `epoch` the first, `run` the server that gave it), a
 * ledger of invalidations with the epoch in it, and a hash of the changes that were begun. Announcements come in the order of their stamps.
 *
 * A counter that was lost starts again at the server's time in microseconds, far above any stamp given before. So it does when the
 * ledger was lost (evicted by the server, say), and when the server was restarted, or is another than before (a replica that was
 * promoted), as the newest stamps may be lost then. Nothing from before the new epoch is found any more.
 *
 * The scripts run in a server without room as well (Redis 7): they take next to none, and entries are elsewhere.
 */
const ORDER = `#!lua flags=allow-oom
local function run()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
end
local function start(counter, ledger)
  local time = redis.call('TIME')
  local n = math.max(time[1] * 1000000 + time[2], (tonumber(redis.call('HGET', counter, 'n')) or 0) + 1)
  local text = string.format('%.0f', n)
  redis.call('HSET', counter, 'n', text, 'epoch', text, 'run', run())
  redis.call('UNLINK', ledger)
  redis.call('HSET', ledger, 'epoch', text)
  return n
end
local function take(counter, ledger)
  local n = redis.call('HINCRBY', counter, 'n', 1)
  if n == 1 then n = start(counter, ledger) end
  return n
end
local function announce(channel, n, message)
  redis.call('PUBLISH', channel, string.format('%.0f ', n) .. message)
end
local function now()
  local time = redis.call('TIME')
  return string.format('%.3f', time[1] * 1000 + time[2] / 1000)
end
local function place(counter, ledger)
  local found = redis.call('HMGET', counter, 'n', 'epoch')
  if not found[1] or redis.call('HGET', ledger, 'epoch') ~= found[2] then
    start(counter, ledger)
    found = redis.call('HMGET', counter, 'n', 'epoch')
  end
  return {found[1], found[2], now()}
end
`

/** KEYS counter, ledger. ARGV a stamp that was given. Answers the last stamp, the epoch, and the time in milliseconds. */
const PLACE = `${ORDER}
local known = redis.call('HMGET', KEYS[1], 'run', 'n')
if known[1] and (known[1] ~= run() or tonumber(known[2]) < tonumber(ARGV[1])) then start(KEYS[1], KEYS[2]) end
return place(KEYS[1], KEYS[2])
`

/** KEYS counter, ledger, begun. ARGV id, the change. Answers as before. */
const BEGIN = `${ORDER}
local found = place(KEYS[1], KEYS[2])
redis.call('HSET', KEYS[3], ARGV[1], found[3] .. ' ' .. ARGV[2])
return found
`

/** The lease of the key is void from here on. KEYS counter, ledger, begun, lease. ARGV id or '', channel, message. */
const ANNOUNCE = `${ORDER}
redis.call('DEL', KEYS[4])
if ARGV[1] ~= '' then redis.call('HDEL', KEYS[3], ARGV[1]) end
local n = take(KEYS[1], KEYS[2])
announce(ARGV[2], n, ARGV[3])
return n
`

/** KEYS begun. ARGV age in milliseconds. Answers ids and changes in turn. */
const ABANDONED = `${ORDER}
local found = {}
local before = now() - ARGV[1]
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local time, change = string.match(fields[at + 1], '^(%S+) (.*)$')
  if time and tonumber(time) <= before then
    found[#found + 1] = fields[at]
    found[#found + 1] = change
  end
end
return found
`

/** KEYS counter, ledger. ARGV channel, message, then the ledger's fields. */
const INVALIDATE = `${ORDER}
place(KEYS[1], KEYS[2])
local n = take(KEYS[1], KEYS[2])
for at = 3, #ARGV do redis.call('HSET', KEYS[2], ARGV[at], string.format('%.0f', n)) end
announce(ARGV[1], n, ARGV[2])
return n
`

/** KEYS ledger. ARGV field, stamp. */
const WITHDRAW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`

export const orderScripts = {
  larderOrderPlace: { lua: PLACE, numberOfKeys: 2 },
  larderOrderBegin: { lua: BEGIN, numberOfKeys: 3 },
  larderOrderAnnounce: { lua: ANNOUNCE, numberOfKeys: 4 },
  larderOrderAbandoned: { lua: ABANDONED, numberOfKeys: 1 },
  larderOrderInvalidate: { lua: INVALIDATE, numberOfKeys: 2 },
  larderOrderWithdraw: { lua: WITHDRAW, numberOfKeys: 1 }
}

type Argument = string | number

/** The methods that the scripts add to a client. */
export interface OrderScripted {
  larderOrderPlace (counter: string, ledger: string, heard: number): Promise<[string, string, string]>
  larderOrderBegin (...parameters: Argument[]): Promise<[string, string, string]>
  larderOrderAnnounce (...parameters: Argument[]): Promise<number>
  larderOrderAbandoned (begun: string, age: number): Promise<string[]>
  larderOrderInvalidate (...parameters: Argument[]): Promise<number>
  larderOrderWithdraw (ledger: string, field: string, stamp: number): Promise<number>
}
