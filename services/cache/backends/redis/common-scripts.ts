/*
 * What the scripts share. A write takes the next stamp of the cache's counter, changes the entry, and announces it, so that
 * announcements come in the order of their stamps and none is lost between the write and the announcement.
 *
 * The counter is a hash: `n` the last stamp, `epoch` the first, `floor`. A lost one (flushed, restarted empty) starts again at the
 * server's time in microseconds, which is far above any stamp given before; the new epoch tells everyone that their memory of the
 * old is void.
 *
 * The ledger is a hash of the invalidations in force, with the same `floor` in it. Where that is missing or another, the ledger was
 * lost (evicted by the server, say): then what had fallen to it might come back, so everything from before is void. `floor` is the
 * stamp below which that is so. Offsets are those of `record.ts`, plus one.
 */
export const COMMON = `
local function whole(number) return string.format('%.0f', number) end
local function start(counter, isVoid)
  local ledger = string.sub(counter, 1, -8) .. 'ledger'
  local time = redis.call('TIME')
  local n = time[1] * 1000000 + time[2]
  local before = redis.call('HMGET', counter, 'n', 'floor')
  if before[1] and tonumber(before[1]) >= n then n = tonumber(before[1]) + 1 end
  local floor = redis.call('HGET', ledger, 'floor')
  if isVoid or before[2] or not floor then
    floor = whole(n)
    redis.call('HSET', ledger, 'floor', floor)
  end
  redis.call('HSET', counter, 'n', whole(n), 'epoch', whole(n), 'floor', floor)
  return n
end
local function take(counter)
  local n = redis.call('HINCRBY', counter, 'n', 1)
  if n == 1 then n = start(counter) end
  return n
end
local function secure(counter, ledger)
  local known = redis.call('HMGET', counter, 'n', 'floor')
  if not known[1] or not known[2] or known[2] ~= redis.call('HGET', ledger, 'floor') then start(counter) end
end
local function announce(channel, n, message)
  redis.call('PUBLISH', channel, whole(n) .. ' ' .. message)
end
local function read(key, floor)
  local head = redis.call('GETRANGE', key, 0, 71)
  local known = #head >= 24
  local live = #head == 72 and string.byte(head, 3) == 0 and (not floor or struct.unpack('<d', head, 65) >= floor)
  return known, live, known and struct.unpack('<d', head, 9) or 0, string.sub(head, 17, 24)
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

/*
 * The index that limits are kept by, while there are any: what there is, and who goes first. A name is `namespace:key`.
 *
 * | key | |
 * |---|---|
 * | index | hash: `state` (building, complete), `generation`, `cursor` of the building, totals `items` and `bytes`, and the same per namespace |
 * | index:entries | hash: of each name its strategy, size, uses and the moment of its last use in microseconds |
 * | index:due | sorted set: when each name is gone, in milliseconds, to the millisecond at which Redis drops the entry |
 * | index:lru, lfu, fifo, ttl | sorted sets: last use, uses (the moment of the last one in front of the name decides among equals), stamp, expiry |
 * | index:evicted | hash: of each of 4096 buckets of names the highest stamp that was evicted: loads that began before it are not kept |
 *
 * The names of all but the first follow from it, as those of entries do: a cache is in one slot of a cluster.
 */
export const INDEX = `
local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function prefixOf(index) return string.sub(index, 1, -6) .. 'entry:' end
local function nameIn(index, key) return string.sub(key, #index + 2) end
local function isIndexed(index) return redis.call('HEXISTS', index, 'state') == 1 end
local function member(strategy, tie, name) return strategy == 'lfu' and tie .. name or name end
local function drop(index)
  redis.call('UNLINK', index, index .. ':entries', index .. ':due', index .. ':lru', index .. ':lfu', index .. ':fifo', index .. ':ttl', index .. ':evicted')
end
local function restart(index)
  drop(index)
  redis.call('HSET', index, 'state', 'building', 'generation', whole(micros()))
end
local function count(index, name, items, bytes)
  local namespace = string.match(name, '^[^:]*')
  redis.call('HINCRBY', index, 'items', items)
  redis.call('HINCRBY', index, 'bytes', bytes)
  local left = redis.call('HINCRBY', index, 'items:' .. namespace, items)
  if left == 0 then redis.call('HDEL', index, 'items:' .. namespace, 'bytes:' .. namespace)
  else redis.call('HINCRBY', index, 'bytes:' .. namespace, bytes) end
end
local function fact(index, name)
  local text = redis.call('HGET', index .. ':entries', name)
  if not text then return nil end
  local strategy, size, uses, tie = string.match(text, '^(%a+):(%d+):(%d+):(%d+)$')
  return strategy, tonumber(size), tonumber(uses), tie
end
local function put(index, name, strategy, size, uses, tie, score, due)
  redis.call('HSET', index .. ':entries', name, strategy .. ':' .. whole(size) .. ':' .. whole(uses) .. ':' .. tie)
  redis.call('ZADD', index .. ':' .. strategy, score, member(strategy, tie, name))
  if due then redis.call('ZADD', index .. ':due', due, name) else redis.call('ZREM', index .. ':due', name) end
end
local function forget(index, name)
  local strategy, size, _, tie = fact(index, name)
  if not strategy then return end
  redis.call('HDEL', index .. ':entries', name)
  redis.call('ZREM', index .. ':' .. strategy, member(strategy, tie, name))
  redis.call('ZREM', index .. ':due', name)
  count(index, name, -1, -size)
end
local function lapse(index, most)
  local names = redis.call('ZRANGEBYSCORE', index .. ':due', '-inf', '(' .. whole(math.floor(micros() / 1000)), 'LIMIT', 0, most)
  for _, name in ipairs(names) do
    forget(index, name)
    redis.call('ZREM', index .. ':due', name)
  end
  return #names
end
local function bucket(name) return string.sub(redis.sha1hex(name), 1, 3) end
local function remove(index, name)
  local key = prefixOf(index) .. name
  local order = redis.call('GETRANGE', key, 8, 15)
  if #order == 8 then
    local stamp = struct.unpack('<d', order)
    local highest = redis.call('HGET', index .. ':evicted', bucket(name))
    if not highest or tonumber(highest) < stamp then redis.call('HSET', index .. ':evicted', bucket(name), whole(stamp)) end
  end
  redis.call('UNLINK', key)
  forget(index, name)
end
local function victim(index, strategy, spared)
  for _, name in ipairs(redis.call('ZRANGE', index .. ':' .. strategy, 0, 1)) do
    if strategy == 'lfu' then name = string.sub(name, 17) end
    if name ~= spared then return name end
  end
end
local function evict(index, counter, channel, source, first, bytes, maxItems, maxBytes, spared, most)
  local gone, lapsed, at = {}, false, 1
  local strategies = {first}
  for _, strategy in ipairs({'lru', 'fifo', 'ttl', 'lfu'}) do
    if strategy ~= first then strategies[#strategies + 1] = strategy end
  end
  while true do
    local totals = redis.call('HMGET', index, 'items', 'bytes')
    local items, taken = tonumber(totals[1]) or 0, tonumber(totals[2]) or 0
    if spared then
      local known, size = fact(index, spared)
      items = items + (known and 0 or 1)
      taken = taken + bytes - (size or 0)
    end
    if items <= maxItems and taken <= maxBytes then return gone, true end
    if not lapsed then lapsed = lapse(index, 100) < 100
    elseif #gone >= 2 * most then return gone, false
    else
      local name
      while at <= #strategies and not name do
        name = victim(index, strategies[at], spared)
        if not name then at = at + 1 end
      end
      if not name or not fact(index, name) then
        -- Nobody to go, or somebody that nothing is known of: the server has dropped a part of the index.
        restart(index)
        return gone, true, true
      else
        remove(index, name)
        local n = take(counter)
        announce(channel, n, cjson.encode({v = 1, s = source, n = string.match(name, '^[^:]*'), k = string.match(name, ':(.*)$')}))
        gone[#gone + 1] = name
        gone[#gone + 1] = whole(n)
      end
    end
  end
end
`
