"""The turn of a group that works in order: the worker that has it takes the oldest event that is not finished."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Union

from ._clock import clock_with_sleep
from ._connections import run

#: Take the turn if it is free, prolong it, and take the oldest event that the group has not finished: one that a worker
#: left, or the next. KEYS: turn, stream. ARGV: group, consumer, lease in ms, "1" if this consumer did not get the last
#: answer in time. (It has not tried the event of that answer, so this hand-out is not counted.) Returns {ms for which
#: another worker has the turn}; or, without an event, {0, id of the newest event that was taken}; or {0, entry, fields,
#: how often it was handed out}.
_TAKE = """
if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return {math.max(redis.call('PTTL', KEYS[1]), 1)}
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
local left = redis.call('XPENDING', KEYS[2], ARGV[1], '-', '+', 1)[1]
while left do
  local count = left[4] + 1
  if ARGV[4] == '1' and left[2] == ARGV[2] then
    count = left[4]
  end
  local entry = redis.call('XCLAIM', KEYS[2], ARGV[1], ARGV[2], 0, left[1], 'RETRYCOUNT', count)[1]
  if entry and entry[2] then
    return {0, entry[1], entry[2], count}
  end
  redis.call('XACK', KEYS[2], ARGV[1], left[1])
  left = redis.call('XPENDING', KEYS[2], ARGV[1], '-', '+', 1)[1]
end
local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[2], '>')
if read and read[1] then
  local entry = read[1][2][1]
  return {0, entry[1], entry[2], 1}
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  if group[2] == ARGV[1] then
    return {0, group[8]}
  end
end
"""

#: Prolong the turn, or release it. KEYS: turn. ARGV: consumer, lease in ms, or 0.
_PROLONG = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class Entry(NamedTuple):
    """An event of the stream.

    :ivar deliveries: how often it was handed out, this time counted.
    """

    entry: bytes
    fields: Dict[bytes, bytes]
    deliveries: int


class OthersTurn(NamedTuple):
    """Another worker has the turn, for at least so many seconds."""

    seconds: float


class Turn:
    """One worker's view of its group's turn.

    :param stream: the key.
    :param lease: seconds after which another worker may take the turn of a killed one.
    :param clock: monotonic seconds, with the time for which the machine slept.
    """

    def __init__(
        self, stream: str, group: str, consumer: str, lease: float, clock: Callable[[], float] = clock_with_sleep
    ) -> None:
        self._key = f"{stream}:turn:{group}"
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._lease = lease
        self._clock = clock
        self._missed = False  # the last answer did not come, or came late

    def take(self, client: Any, wait: float) -> Union[Entry, OthersTurn, None]:
        """Return the next event. Returns None if no event comes within ``wait`` seconds, or the answer is late."""
        began = self._clock()
        keys = self._key, self._stream
        missed, self._missed = self._missed, True
        arguments = self._group, self._consumer, int(self._lease * 1000), int(missed)
        answer = client.eval(_TAKE, len(keys), *keys, *arguments)
        late = self._clock() - began >= self._lease / 2
        self._missed = late and len(answer) > 2
        if answer[0]:
            return OthersTurn(answer[0] / 1000)
        if len(answer) == 2:
            client.xread({self._stream: answer[1]}, count=1, block=int(wait * 1000))
            return None
        if late:
            return None  # the turn may be another's by now
        _, entry, flat, deliveries = answer
        return Entry(entry, dict(zip(flat[::2], flat[1::2])), deliveries)

    def prolong(self, client: Any) -> None:
        """Keep the turn while a callback takes long. No-op if this worker does not have it."""
        run(client, _PROLONG, (self._key,), self._consumer, int(self._lease * 1000))

    def release(self, client: Any) -> None:
        """Let another worker have the turn at once."""
        run(client, _PROLONG, (self._key,), self._consumer, 0)
