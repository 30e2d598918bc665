"""The Lua scripts for the stream in Redis, and one for operators. Each script is atomic for all processes.

The stream has a hash, its *record*:

- ``began``: when the first process began, in Unix milliseconds, by Redis's clock. Only set until there is an ``id``.
- ``id``: the newest message that is in the stream with all before it. A new leader fetches messages from there on.
- ``floor``: the newest message when the stream began. Messages up to it are not added.
- ``key``: the newest added event. Every process may drop its copies up to that event.
- ``count``: number of events ever added. Each entry of the stream has its number.
- ``base:GROUP``: the number before the group's first possible event; ``acked:GROUP``: number of its finished events;
  ``reported:GROUP``: number of its lost events that a worker has logged.
"""

from __future__ import annotations

#: Add the events that are not yet known, and trim the stream to its length. KEYS: stream, record, then the key of each
#: event. ARGV: longest stream; the newest message's id or ""; the newest event's key or ""; then of each event the data
#: ("": only remember its key) and the seconds for which it is known. Returns the count, and how many events were
#: removed before all groups had finished them.
#:
#: Entries beyond the length are removed once all groups have finished them, by the hundred; those beyond twice the
#: length, and at least 1,000 beyond it, in any case.
ADD = """
local count = tonumber(redis.call('HGET', KEYS[2], 'count')) or 0
local before = count
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    if ARGV[i * 2 - 2] ~= '' then
      count = count + 1
      redis.call('XADD', KEYS[1], '*', 'event', ARGV[i * 2 - 2], 'n', count)
    end
    redis.call('SET', KEYS[i], '1', 'EX', ARGV[i * 2 - 1])
  end
end
if count > before then
  redis.call('HSET', KEYS[2], 'count', count)
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'key', ARGV[3])
end
if ARGV[2] ~= '' then
  local old, new = tonumber(redis.call('HGET', KEYS[2], 'id')), tonumber(ARGV[2])
  if not (old and new and old >= new) then
    redis.call('HSET', KEYS[2], 'id', ARGV[2])
  end
end
local longest = tonumber(ARGV[1])
local extra = redis.call('XLEN', KEYS[1]) - longest
local lost = 0
if extra > 0 then
  local least, first, second
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local pending = redis.call('XPENDING', KEYS[1], group[2])
    local id = pending[1] > 0 and pending[2] or group[8]
    local ms, number = string.match(id, '(%d+)-(%d+)')
    ms, number = tonumber(ms), tonumber(number)
    if not least or ms < first or (ms == first and number < second) then
      least, first, second = id, ms, number
    end
  end
  if not least then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', longest)
  else
    redis.call('XTRIM', KEYS[1], 'MINID', '~', least, 'LIMIT', extra)
    local most = math.max(2 * longest, longest + 1000)
    if redis.call('XLEN', KEYS[1]) > most then
      lost = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', most)
    end
  end
end
return {count, lost}
"""

#: Read the position of a stream. Without one, note when the stream began, and set the position if it is known now. So
#: the first position that reaches Redis counts. KEYS: record. ARGV: ms since this process began; the newest message's
#: id or "". Returns the id and the floor, each nil if unknown, and the ms since the stream began.
BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = math.min(tonumber(redis.call('HGET', KEYS[1], 'began')) or now, now - ARGV[1])
if not redis.call('HGET', KEYS[1], 'id') then
  redis.call('HSET', KEYS[1], 'began', string.format('%.0f', began))
  if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'id', ARGV[2], 'floor', ARGV[2])
  end
end
local position = redis.call('HMGET', KEYS[1], 'id', 'floor')
return {position[1], position[2], now - began}
"""

#: Make a group, if there is none of this name. KEYS: stream, record. ARGV: group.
MAKE_GROUP = """
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err then
  if string.find(made.err, 'BUSYGROUP') then
    return 0
  end
  return redis.error_reply(made.err)
end
local base = tonumber(redis.call('HGET', KEYS[2], 'count')) or 0
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local number = first and first[2][3] == 'n' and tonumber(first[2][4])
if number then
  base = number - 1
end
redis.call('HSETNX', KEYS[2], 'base:' .. ARGV[1], base)
return 1
"""

#: Finish an event. KEYS: stream, record. ARGV: group, entry.
FINISH = """
local finished = redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if finished == 1 then
  redis.call('HINCRBY', KEYS[2], 'acked:' .. ARGV[1], 1)
end
return finished
"""

#: Make an event a dead letter, unless it is finished. KEYS: stream, record, dead letters. ARGV: group, entry, then the
#: names and values of the dead letter.
BURY = """
if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1] then
  return 0
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[2], 'acked:' .. ARGV[1], 1)
return 1
"""

#: Count the events that never came to the group, or whose entry went while a worker had them. KEYS: stream, record.
#: ARGV: group. Returns -1 if it can't be known now.
LOST = """
local newest
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if group[2] == ARGV[1] then
    newest = group[8]
  end
end
local entry = newest and redis.call('XRANGE', KEYS[1], newest, newest)[1]
local number = entry and entry[2][3] == 'n' and tonumber(entry[2][4])
if not number then
  return -1
end
local record = redis.call('HMGET', KEYS[2], 'base:' .. ARGV[1], 'acked:' .. ARGV[1])
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])[1]
return math.max(0, number - (tonumber(record[1]) or 0) - (tonumber(record[2]) or 0) - pending)
"""

#: Note that a worker reports the group's lost events. KEYS: record. ARGV: group, number of its lost events. Returns the
#: number of those that no worker has reported.
REPORT_LOST = """
local field = 'reported:' .. ARGV[1]
local new = tonumber(ARGV[2]) - (tonumber(redis.call('HGET', KEYS[1], field)) or 0)
if new > 0 then
  redis.call('HSET', KEYS[1], field, ARGV[2])
end
return new
"""

#: Keep an event that a worker is working on from being handed out again. KEYS: stream. ARGV: group, consumer, entry.
#: Returns 0 if another worker has it by now.
RENEW_CLAIM = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not pending or pending[2] ~= ARGV[2] then
  return 0
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
"""

#: Remove consumers without pending events: each deploy leaves some. KEYS: stream. ARGV: group, least idle time in ms,
#: name, or "" for any.
REMOVE = """
local removed = 0
for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending, idle = one[2], one[4], one[6]
  if pending == 0 and idle >= tonumber(ARGV[2]) and (ARGV[3] == '' or ARGV[3] == name) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    removed = removed + 1
  end
end
return removed
"""

#: Count the processes that listen to a channel. KEYS: the channel, so that a Cluster asks the node that has it.
SUBSCRIBERS = "return redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2]"
