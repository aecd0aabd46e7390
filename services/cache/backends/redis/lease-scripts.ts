/**
 * Given unless someone has one that stands: one that is not older than the last change of its key, and of this epoch.
 *
 * KEYS lease, then where the order is kept here: counter, and entry where that has it. ARGV token without its stamp, milliseconds, a token
 * that is void, then where the order is kept elsewhere: the last stamp, and that of the last change of the key. Answers the token that
 * holds now, and for how long another may still have it, 0 when it is the caller's; nothing when the counter is lost.
 */
const ACQUIRE = `
local function changed()
  if ARGV[5] then return tonumber(ARGV[5]) end
  local epoch = tonumber(redis.call('HGET', KEYS[2], 'epoch') or 0)
  local order = KEYS[3] and redis.call('GETRANGE', KEYS[3], 8, 15) or ''
  return #order == 8 and math.max(struct.unpack('<d', order), epoch) or epoch
end
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] and changed() <= tonumber(string.match(held, '^%d+')) then
  return {held, math.max(redis.call('PTTL', KEYS[1]), 1)}
end
local n = ARGV[4] or redis.call('HGET', KEYS[2], 'n')
if not n then return {} end
local token = n .. ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {token, 0}
`

/** KEYS lease. ARGV token, milliseconds. */
const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`

/** KEYS lease. ARGV token, channel and message where it is to be told. */
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
`

/** One string per lease, its token, that expires by Redis' own means when its holder dies. */
export const leaseScripts = {
  larderAcquire: { lua: ACQUIRE },
  larderRenew: { lua: RENEW, numberOfKeys: 1 },
  larderRelease: { lua: RELEASE, numberOfKeys: 1 }
}

/** The methods that the scripts add to a client. */
export interface LeaseScripted {
  larderAcquire (numberOfKeys: number, ...parameters: (string | number)[]): Promise<[] | [token: string, left: number]>
  larderRenew (...parameters: (string | number)[]): Promise<number>
  larderRelease (...parameters: (string | number)[]): Promise<number>
}
