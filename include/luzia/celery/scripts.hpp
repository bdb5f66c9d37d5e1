// celery/scripts.hpp: every compound step on the server as one Lua script.
#pragma once

#include <luzia/redis/script.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace luzia::celery::detail {

/// A script's text of several parts, put together when the program is compiled.
template <const std::string_view&... parts>
struct Joined {
    static constexpr auto array = [] {
        std::array<char, (parts.size() + ...)> all{};
        char* end = all.data();
        ((end = std::copy(parts.begin(), parts.end(), end)), ...);
        return all;
    }();
    static constexpr std::string_view text{array.data(), array.size()};
};

/// `decode(text)`: whether it is JSON, and its value.
inline constexpr std::string_view lua_decode(R"lua(
local function decode(text)
  local ok, value = pcall(cjson.decode, text)
  if ok then return ok, value end
  -- Python writes halves of surrogate pairs, which this parser does not take.
  return pcall(cjson.decode, (text:gsub('\\\\', ''):gsub('\\u[dD][89a-fA-F]%x%x', '?')))
end
)lua");

/// `store(key, result, is_final, seconds)`: stores a result and tells it. A stored SUCCESS is never replaced, and an end never by what is none.
inline constexpr std::string_view lua_store(R"lua(
local function store(key, result, is_final, seconds)
  local stored = redis.pcall('GET', key)
  local ok, value = decode(type(stored) == 'string' and stored or '')
  local state = ok and type(value) == 'table' and value.status
  if state == 'SUCCESS' or (is_final ~= '1' and (state == 'FAILURE' or state == 'REVOKED')) then return end
  if seconds == '0' then redis.call('SET', key, result) else redis.call('SET', key, result, 'EX', seconds) end
  redis.call('PUBLISH', key, result)
end
)lua");

// What a script has done stays done where a later line of it fails. So each writes where a message goes before it removes it from where it was: a
// failure half-way repeats something, and loses nothing.

/// Pushes messages: all of them, or none where one of the lists is none. ARGV: a list and a message, again and again.
inline constexpr redis::Script push_script(R"lua(
for i = 1, #ARGV > 2 and #ARGV or 0, 2 do redis.call('LLEN', ARGV[i]) end
for i = 1, #ARGV, 2 do redis.call('LPUSH', ARGV[i], ARGV[i + 1]) end
return #ARGV / 2
)lua");

/// Takes messages from the consuming end of lists and notes them as held, in one step: no crash loses one.
///
/// KEYS: unacked, unacked_index, dead-letter list, then lists in the order of preference. ARGV: how many at most, bytes of one at most,
/// bytes of all together, prefix of the tags, number of the first tag; then for each list the name of its queue, as JSON.
/// What is no JSON object with headers and properties would stop every Python worker that looks through `unacked`: it goes to the
/// dead-letter list instead. Returns: how many did; what went wrong, or nothing; then for each taken its tag, the place of its list, and the
/// message itself, or nothing where it alone has more bytes than all together may.
inline constexpr std::string_view claim_body(R"lua(
local most, largest, room, number = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local found, dead, tries, problem, is_full = {0, ''}, 0, 0, '', false
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  problem = reply.err
end
local function is_object(value, name, raw)
  local part = value[name]
  if type(part) ~= 'table' or part[1] ~= nil then return false end
  -- What is empty could be either, read.
  return next(part) ~= nil or not raw:find('"' .. name .. '"%s*:%s*%[%s*%]')
end
for i = 4, #KEYS do
  while #found < 2 + 3 * most and tries < 4 * most and not is_full do
    local raw = try('LINDEX', KEYS[i], -1)
    if not raw then break end -- nothing there, or no list
    tries = tries + 1
    local good = #raw <= largest
    if good then
      local ok, value = decode(raw)
      good = ok and type(value) == 'table' and is_object(value, 'headers', raw) and is_object(value, 'properties', raw)
    end
    if not good then
      if not (try('LPUSH', KEYS[3], raw) and try('RPOP', KEYS[i])) then break end
      dead = dead + 1
    elseif #raw > room and #raw <= tonumber(ARGV[3]) then
      is_full = true
    else
      local tag = ARGV[4] .. number
      local entry = '[' .. raw .. ', "", ' .. ARGV[i + 2] .. ']'
      if not (try('ZADD', KEYS[2], now, tag) and try('HSET', KEYS[1], tag, entry) and try('RPOP', KEYS[i])) then
        redis.pcall('HDEL', KEYS[1], tag) -- it stays where it was, and nowhere else
        redis.pcall('ZREM', KEYS[2], tag)
        break
      end
      number = number + 1
      found[#found + 1] = tag
      found[#found + 1] = i - 4
      found[#found + 1] = #raw <= room and raw or ''
      if #raw <= room then room = room - #raw end
    end
  end
end
found[1] = dead
found[2] = problem
return found
)lua");
inline constexpr redis::Script claim_script(Joined<lua_decode, claim_body>::text);

/// Ends a delivery, or a part of it: sends what follows, stores what there is to store, lets go of the message.
///
/// KEYS: unacked, unacked_index, key of the result, the note that what follows was sent, dead-letter list. ARGV: tag; 1 = let go of it;
/// 1 = what follows is sent only while the delivery is still held here; the result, or nothing; 1 = the result is one of a task that has
/// ended; seconds it is kept, 0 = for ever; then a list and a message, again and again.
/// What follows is sent once, however often this is asked for: letting go is the proof of it, and else the note. What can't be pushed goes to
/// the dead-letter list. Returns 1 where the delivery was held, 0 where it was not, -1 where nothing was done for that; then how many went to
/// the dead-letter list.
inline constexpr std::string_view settle_body(R"lua(
local held, dead = redis.call('HEXISTS', KEYS[1], ARGV[1]), 0
if #ARGV > 6 then
  if redis.call('EXISTS', KEYS[4]) == 1 then
    held = 1
  elseif ARGV[3] == '1' and held == 0 then
    return {-1, 0}
  else
    for i = 7, #ARGV, 2 do
      local reply = redis.pcall('LPUSH', ARGV[i], ARGV[i + 1])
      if type(reply) == 'table' and reply.err then
        redis.call('LPUSH', KEYS[5], ARGV[i + 1])
        dead = dead + 1
      end
    end
    if ARGV[2] ~= '1' or held == 0 then redis.call('SET', KEYS[4], '1', 'EX', 86400) end
  end
end
if ARGV[4] ~= '' then store(KEYS[3], ARGV[4], ARGV[5], ARGV[6]) end
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  if #ARGV == 6 then redis.call('DEL', KEYS[4]) end
end
return {held, dead}
)lua");
inline constexpr redis::Script settle_script(Joined<lua_decode, lua_store, settle_body>::text);

/// Stores a result and touches nothing else: more may not be allowed, or be somebody else's, where the results are. KEYS: key of the result.
/// ARGV: the result; 1 = it is one of a task that has ended; seconds it is kept, 0 = for ever.
inline constexpr std::string_view store_body(R"lua(
store(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 1
)lua");
inline constexpr redis::Script store_script(Joined<lua_decode, lua_store, store_body>::text);

/// Says that deliveries are still worked on. KEYS: unacked, unacked_index. ARGV: tags. Returns 1 or 0 for each: 0 = it is not held.
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

/// Finds deliveries that nobody has renewed. KEYS: unacked, unacked_index. ARGV: seconds, how many at most, how many to pass over.
/// Returns tag and size of each.
inline constexpr redis::Script overdue_script(R"lua(
local limit = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
local found = {}
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', limit, 'LIMIT', ARGV[3], ARGV[2])) do
  local size = redis.call('HSTRLEN', KEYS[1], tag)
  if size > 0 then
    found[#found + 1] = tag
    found[#found + 1] = size
  else
    redis.call('ZREM', KEYS[2], tag)
  end
end
return found
)lua");

/// Moves a held message to a list. KEYS: unacked, unacked_index, list, dead-letter list. ARGV: tag, or nothing where it was let go already; the
/// message; RPUSH or LPUSH; seconds that nobody must have renewed it for, 0 = however long. Returns 1 where it did, 2 where it went to the dead-letter list because the other is
/// none, 0 where it was not held, or renewed.
inline constexpr redis::Script move_script(R"lua(
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[4] ~= '0' then
  local renewed = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if renewed and tonumber(renewed) > tonumber(redis.call('TIME')[1]) - tonumber(ARGV[4]) then return 0 end
end
local moved = 1
local reply = redis.pcall(ARGV[3], KEYS[3], ARGV[2])
if type(reply) == 'table' and reply.err then
  redis.call('LPUSH', KEYS[4], ARGV[2])
  moved = 2
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return moved
)lua");

/// Puts messages that were claimed and never begun back to where they are served next, as they were. KEYS: unacked, unacked_index,
/// dead-letter list. ARGV: tag, list, and the name of the queue as JSON, again and again. Returns how many went back.
inline constexpr redis::Script give_back_script(R"lua(
local count = 0
for i = 1, #ARGV, 3 do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  local rest = ', "", ' .. ARGV[i + 2] .. ']'
  if entry and entry:sub(-#rest) == rest then
    local raw = entry:sub(2, -#rest - 1)
    local reply = redis.pcall('RPUSH', ARGV[i + 1], raw)
    if type(reply) == 'table' and reply.err then redis.call('LPUSH', KEYS[3], raw) end
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    count = count + 1
  end
end
return count
)lua");

/// Notes that a member of a chord has ended; another end of the same one takes the place of the first. KEYS: results so far, size, later
/// additions. ARGV: place, what to note, seconds to keep it, the member's id as JSON. Returns how many bytes were noted in all once it is
/// complete, else 0.
inline constexpr redis::Script join_script(R"lua(
for _, noted in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])) do
  for _, begin in ipairs({'[1,' .. ARGV[4] .. ',', '[1, ' .. ARGV[4] .. ','}) do
    if noted:sub(1, #begin) == begin then redis.call('ZREM', KEYS[1], noted) end
  end
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local size = redis.call('GET', KEYS[2])
local more = redis.call('GET', KEYS[3])
if ARGV[3] ~= '0' then
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
end
if size and redis.call('ZCARD', KEYS[1]) == tonumber(size) + (tonumber(more or '0') or 0) then
  local bytes = 0
  for _, noted in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do bytes = bytes + #noted end
  return bytes
end
return 0
)lua");

/// Deletes a lock that is still one's own. KEYS: lock. ARGV: whose.
inline constexpr redis::Script unlock_script(R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua");

} // namespace luzia::celery::detail
