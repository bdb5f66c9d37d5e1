// celery/scripts.hpp: every compound step on the server as one Lua script: it happens whole, or not at all.
#pragma once

#include <luzia/redis/script.hpp>

namespace luzia::celery::detail {

/// Pushes messages. ARGV: a list and a message, again and again.
inline constexpr redis::Script push_script(R"lua(
for i = 1, #ARGV, 2 do redis.call('LPUSH', ARGV[i], ARGV[i + 1]) end
return #ARGV / 2
)lua");

/// Takes messages from the consuming end of lists and notes them as held, in one step: no crash loses one.
///
/// KEYS: unacked, unacked_index, dead-letter list, then lists in the order of preference. ARGV: how many at most, bytes of one at most,
/// prefix of the tags, number of the first tag; then for each list the name of its queue, as JSON.
/// What is no JSON object with headers and properties would stop every Python worker that looks through `unacked`: it goes to the
/// dead-letter list instead. Returns: how many did, then tag, queue's name as JSON and message for each taken.
inline constexpr redis::Script claim_script(R"lua(
local most, largest, number = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local found, dead, tries = {0}, 0, 0
for i = 4, #KEYS do
  while #found < 1 + 3 * most and tries < 4 * most do
    local raw = redis.pcall('RPOP', KEYS[i])
    if type(raw) ~= 'string' then break end -- nothing there, or no list
    tries = tries + 1
    local good = #raw <= largest
    if good then
      local ok, value = pcall(cjson.decode, raw)
      -- Python writes halves of surrogate pairs, which this parser does not take.
      if not ok then ok, value = pcall(cjson.decode, (raw:gsub('\\\\', ''):gsub('\\u[dD][89a-fA-F]%x%x', '?'))) end
      good = ok and type(value) == 'table' and type(value.headers) == 'table' and type(value.properties) == 'table'
    end
    if good then
      local tag = ARGV[3] .. number
      number = number + 1
      redis.call('HSET', KEYS[1], tag, '[' .. raw .. ', "", ' .. ARGV[i + 1] .. ']')
      redis.call('ZADD', KEYS[2], now, tag)
      found[#found + 1] = tag
      found[#found + 1] = ARGV[i + 1]
      found[#found + 1] = raw
    else
      redis.call('LPUSH', KEYS[3], raw)
      dead = dead + 1
    end
  end
end
found[1] = dead
return found
)lua");

/// Ends a delivery: stores what there is to store, pushes what follows, lets go of the message.
///
/// KEYS: unacked, unacked_index, key of the result. ARGV: tag; 1 = let go of it; 1 = what follows is pushed only while the delivery is
/// still held here; the result, or nothing; seconds it is kept, 0 = for ever; then a list and a message, again and again.
/// A stored SUCCESS is never replaced. Returns 1 where the delivery was held, 0 where it was not, -1 where nothing was done for that.
inline constexpr redis::Script settle_script(R"lua(
local held = redis.call('HEXISTS', KEYS[1], ARGV[1])
if ARGV[3] == '1' and held == 0 then return -1 end
if ARGV[4] ~= '' then
  local stored = redis.call('GET', KEYS[3])
  local is_final = false
  if stored then
    local ok, value = pcall(cjson.decode, stored)
    is_final = ok and type(value) == 'table' and value.status == 'SUCCESS'
  end
  if not is_final then
    if ARGV[5] == '0' then redis.call('SET', KEYS[3], ARGV[4]) else redis.call('SETEX', KEYS[3], ARGV[5], ARGV[4]) end
    redis.call('PUBLISH', KEYS[3], ARGV[4])
  end
end
for i = 6, #ARGV, 2 do redis.call('LPUSH', ARGV[i], ARGV[i + 1]) end
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return held
)lua");

/// Says that deliveries are still worked on. KEYS: unacked, unacked_index. ARGV: tags. Returns 1 or 0 for each: 0 = somebody took it back.
inline constexpr redis::Script renew_script(R"lua(
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local held = {}
for i = 1, #ARGV do
  held[i] = redis.call('HEXISTS', KEYS[1], ARGV[i])
  if held[i] == 1 then redis.call('ZADD', KEYS[2], 'XX', now, ARGV[i]) end
end
return held
)lua");

/// Finds deliveries that nobody has renewed. KEYS: unacked, unacked_index. ARGV: seconds, how many at most. Returns tag and value of each.
inline constexpr redis::Script overdue_script(R"lua(
local limit = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
local found = {}
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', limit, 'LIMIT', 0, ARGV[2])) do
  local value = redis.call('HGET', KEYS[1], tag)
  if value then
    found[#found + 1] = tag
    found[#found + 1] = value
  else
    redis.call('ZREM', KEYS[2], tag)
  end
end
return found
)lua");

/// Moves a held message to a list, if it is still what it was read as. KEYS: unacked, unacked_index, list. ARGV: tag; what stood there, or
/// nothing = whatever stands there; the message; RPUSH or LPUSH. Returns 1 where it did.
inline constexpr redis::Script move_script(R"lua(
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or (ARGV[2] ~= '' and value ~= ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call(ARGV[4], KEYS[3], ARGV[3])
return 1
)lua");

/// Notes that a member of a chord has ended. KEYS: results so far, size, later additions. ARGV: place, what to note, seconds to keep it.
/// Returns all that was noted once it is complete, else nothing.
inline constexpr redis::Script join_script(R"lua(
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local size = redis.call('GET', KEYS[2])
local more = redis.call('GET', KEYS[3])
if ARGV[3] ~= '0' then
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
end
if size and redis.call('ZCARD', KEYS[1]) == tonumber(size) + (tonumber(more or '0') or 0) then
  return redis.call('ZRANGE', KEYS[1], 0, -1)
end
return {}
)lua");

/// Deletes a lock that is still one's own. KEYS: lock. ARGV: whose.
inline constexpr redis::Script unlock_script(R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua");

} // namespace luzia::celery::detail
