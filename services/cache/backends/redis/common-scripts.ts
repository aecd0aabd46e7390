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
 * | index | hash: `state` (building, complete), `generation`, `cursor` of the building, totals `items` and `bytes`, the same per namespace, `own:` over those with a quota; `reserved:` for them |
 * | index:quotas | hash: of each namespace with a quota its items, bytes, and how far its entries have been brought into orders of its own (a cursor, or `done`); `leaving` where it is no more and they are brought back |
 * | index:entries | hash: of each name its strategy, size, uses and the moment of its last use in microseconds |
 * | index:due | sorted set: when each name is gone, in milliseconds, to the millisecond at which Redis drops the entry |
 * | index:lru, lfu, fifo, ttl | sorted sets: last use, uses (the moment of the last one in front of the name decides among equals), stamp, expiry |
 * | index:lru:N, … | the same of a namespace N with a quota, instead |
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
local STRATEGIES = {'lru', 'fifo', 'ttl', 'lfu'}
local function namespaceOf(name) return string.match(name, '^[^:]*') end
local function quotaOf(index, namespace)
  local text = redis.call('HGET', index .. ':quotas', namespace)
  if not text then return nil end
  local items, bytes, cursor = string.match(text, '^(%d+):(%d+):(%w+)$')
  return tonumber(items), tonumber(bytes), cursor, text == 'leaving'
end
local function setQuota(index, namespace, items, bytes, cursor)
  redis.call('HSET', index .. ':quotas', namespace, whole(items) .. ':' .. whole(bytes) .. ':' .. cursor)
end
local function homesOf(index, namespace)
  local items, _, cursor, leaving = quotaOf(index, namespace)
  if leaving then return '', ':' .. namespace end
  if not items then return '' end
  return ':' .. namespace, cursor ~= 'done' and '' or nil
end
local function drop(index)
  for _, namespace in ipairs(redis.call('HKEYS', index .. ':quotas')) do
    for _, strategy in ipairs(STRATEGIES) do redis.call('UNLINK', index .. ':' .. strategy .. ':' .. namespace) end
  end
  redis.call('UNLINK', index, index .. ':entries', index .. ':due', index .. ':lru', index .. ':lfu', index .. ':fifo', index .. ':ttl', index .. ':evicted', index .. ':quotas')
end
local function own(index, namespace, sign)
  local held = redis.call('HMGET', index, 'items:' .. namespace, 'bytes:' .. namespace)
  for at, field in ipairs({'own:items', 'own:bytes'}) do
    local amount = tonumber(held[at]) or 0
    if amount ~= 0 then redis.call('HINCRBY', index, field, whole(sign * amount)) end
  end
end
local function openQuota(index, namespace, items, bytes)
  local oldItems, oldBytes, cursor, leaving = quotaOf(index, namespace)
  redis.call('HINCRBY', index, 'reserved:items', whole(items - (oldItems or 0)))
  redis.call('HINCRBY', index, 'reserved:bytes', whole(bytes - (oldBytes or 0)))
  if not oldItems then
    own(index, namespace, 1)
    cursor = not leaving and redis.call('HEXISTS', index, 'items:' .. namespace) == 0 and 'done' or '0'
  end
  setQuota(index, namespace, items, bytes, cursor)
end
local function closeQuota(index, namespace)
  local items, bytes = quotaOf(index, namespace)
  if not items then return end
  redis.call('HINCRBY', index, 'reserved:items', whole(-items))
  redis.call('HINCRBY', index, 'reserved:bytes', whole(-bytes))
  own(index, namespace, -1)
  redis.call('HSET', index .. ':quotas', namespace, 'leaving')
end
local function restart(index)
  local quotas = redis.call('HGETALL', index .. ':quotas')
  drop(index)
  redis.call('HSET', index, 'state', 'building', 'generation', whole(micros()))
  for at = 1, #quotas, 2 do
    local items, bytes = string.match(quotas[at + 1], '^(%d+):(%d+)')
    if items then openQuota(index, quotas[at], tonumber(items), tonumber(bytes)) end
  end
end
local function count(index, name, items, bytes)
  local namespace = namespaceOf(name)
  redis.call('HINCRBY', index, 'items', items)
  redis.call('HINCRBY', index, 'bytes', bytes)
  if quotaOf(index, namespace) then
    redis.call('HINCRBY', index, 'own:items', items)
    redis.call('HINCRBY', index, 'own:bytes', bytes)
  end
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
local function unrank(index, name, strategy, tie)
  local home, other = homesOf(index, namespaceOf(name))
  redis.call('ZREM', index .. ':' .. strategy .. home, member(strategy, tie, name))
  if other then redis.call('ZREM', index .. ':' .. strategy .. other, member(strategy, tie, name)) end
end
local function rank(index, name, strategy, tie, score)
  local home, other = homesOf(index, namespaceOf(name))
  if other then redis.call('ZREM', index .. ':' .. strategy .. other, member(strategy, tie, name)) end
  redis.call('ZADD', index .. ':' .. strategy .. home, score, member(strategy, tie, name))
end
local function bring(index, name, home, other)
  local strategy, _, _, tie = fact(index, name)
  if not strategy then return end
  local score = redis.call('ZSCORE', index .. ':' .. strategy .. other, member(strategy, tie, name))
  if score then
    redis.call('ZREM', index .. ':' .. strategy .. other, member(strategy, tie, name))
    redis.call('ZADD', index .. ':' .. strategy .. home, score, member(strategy, tie, name))
  end
end
local function place(index, namespace)
  local items, bytes, cursor, leaving = quotaOf(index, namespace)
  if items and cursor ~= 'done' then
    local answer = redis.call('HSCAN', index .. ':entries', cursor, 'COUNT', 1000)
    for at = 1, #answer[2], 2 do
      if namespaceOf(answer[2][at]) == namespace then bring(index, answer[2][at], ':' .. namespace, '') end
    end
    setQuota(index, namespace, items, bytes, answer[1] == '0' and 'done' or answer[1])
    return true
  end
  if not leaving then return false end
  local most = 500
  for _, strategy in ipairs(STRATEGIES) do
    local from = index .. ':' .. strategy .. ':' .. namespace
    local members = redis.call('ZRANGE', from, 0, most - 1, 'WITHSCORES')
    for at = 1, #members, 2 do
      redis.call('ZADD', index .. ':' .. strategy, members[at + 1], members[at])
      redis.call('ZREM', from, members[at])
    end
    most = most - #members / 2
    if most <= 0 then return true end
  end
  redis.call('HDEL', index .. ':quotas', namespace)
  return true
end
local function placeAny(index)
  local quotas = redis.call('HGETALL', index .. ':quotas')
  for at = 1, #quotas, 2 do
    if place(index, quotas[at]) then return true end
  end
  return false
end
local function put(index, name, strategy, size, uses, tie, score, due)
  redis.call('HSET', index .. ':entries', name, strategy .. ':' .. whole(size) .. ':' .. whole(uses) .. ':' .. tie)
  rank(index, name, strategy, tie, score)
  if due then redis.call('ZADD', index .. ':due', due, name) else redis.call('ZREM', index .. ':due', name) end
end
local function forget(index, name)
  local strategy, size, _, tie = fact(index, name)
  if not strategy then return end
  redis.call('HDEL', index .. ':entries', name)
  unrank(index, name, strategy, tie)
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
local function victim(index, home, strategy, spared)
  for _, name in ipairs(redis.call('ZRANGE', index .. ':' .. strategy .. home, 0, 1)) do
    if strategy == 'lfu' then name = string.sub(name, 17) end
    local belongs = homesOf(index, namespaceOf(name))
    if belongs ~= home then
      bring(index, name, belongs, home)
      return nil, true
    end
    if name ~= spared then return name end
  end
end
local function boundsOf(index, namespace, maxItems, maxBytes)
  local items, bytes = quotaOf(index, namespace)
  if items then return ':' .. namespace, items, bytes end
  local reserved = redis.call('HMGET', index, 'reserved:items', 'reserved:bytes')
  return '', maxItems - (tonumber(reserved[1]) or 0), maxBytes - (tonumber(reserved[2]) or 0)
end
local function heldIn(index, home)
  if home ~= '' then
    local held = redis.call('HMGET', index, 'items' .. home, 'bytes' .. home)
    return tonumber(held[1]) or 0, tonumber(held[2]) or 0
  end
  local held = redis.call('HMGET', index, 'items', 'bytes', 'own:items', 'own:bytes')
  return (tonumber(held[1]) or 0) - (tonumber(held[3]) or 0), (tonumber(held[2]) or 0) - (tonumber(held[4]) or 0)
end
local function evict(index, counter, channel, source, home, first, bytes, maxItems, maxBytes, spared, most)
  local gone, lapsed, at, steps = {}, false, 1, 0
  local strategies = {first}
  for _, strategy in ipairs(STRATEGIES) do
    if strategy ~= first then strategies[#strategies + 1] = strategy end
  end
  while true do
    local items, taken = heldIn(index, home)
    if spared then
      local known, size = fact(index, spared)
      items = items + (known and 0 or 1)
      taken = taken + bytes - (size or 0)
    end
    if items <= maxItems and taken <= maxBytes then return gone, true end
    steps = steps + 1
    if not lapsed then lapsed = lapse(index, 100) < 100
    elseif steps > most + 100 then return gone, false
    else
      local name, strange
      while at <= #strategies and not name and not strange do
        name, strange = victim(index, home, strategies[at], spared)
        if not name and not strange then at = at + 1 end
      end
      if strange then at = 1
      elseif not name and (home == '' and placeAny(index) or home ~= '' and place(index, string.sub(home, 2))) then
        -- Some have yet to be brought to where they are looked for.
        at = 1
        steps = steps + 50
      elseif not name or not fact(index, name) then
        -- Nobody to go, or somebody that nothing is known of: the server has dropped a part of the index.
        restart(index)
        return gone, true, true
      else
        remove(index, name)
        local n = take(counter)
        announce(channel, n, cjson.encode({v = 1, s = source, n = namespaceOf(name), k = string.match(name, ':(.*)$')}))
        gone[#gone + 1] = name
        gone[#gone + 1] = whole(n)
      end
    end
  end
end
`
