"""The wire format between processes over Redis: keys, scripts, and messages as bytes. Pure.

Each lead has a fencing token: the time in milliseconds, but higher than the previous lead's token. (A plain count would
start again if Redis loses its data.) The scripts refuse a process that does not hold the lock. A follower ignores
tokens that are lower than the newest known one.
"""

from __future__ import annotations

import json
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from cometchat import CometChatWSState, ConnectionException, SharedStatus

#: A Lua function. It returns a number that is higher than all before, even if Redis has lost them: the time in ms, or
#: more. (A value that is not a usable number, because another program wrote it, counts as 0.)
NEXT_NUMBER = """
local function next_number(key)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local newest = tonumber(redis.pcall('GET', key)) or 0
  if not (newest < 9007199254740991) then
    newest = 0
  end
  local number = math.max(newest + 1, now)
  redis.call('SET', key, string.format('%.0f', number), 'PX', 86400000)
  return number
end
"""

#: Take the lock if it is free, or left over from an earlier lead of this member. KEYS: lock, token, state. ARGV:
#: member, lease in ms. Returns the token; or, if another member has the lock, minus the ms for which the lock still
#: lives, a minute at most.
ACQUIRE = f"""{NEXT_NUMBER}
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[1]) == ARGV[1] then
  local token = next_number(KEYS[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('DEL', KEYS[3])
  return token
end
return -math.min(math.max(redis.call('PTTL', KEYS[1]), 1), 60000)
"""

#: Prolong the lock, store the state, publish it. KEYS: lock, token, state. ARGV: member, lease in ms, token, state,
#: channel, and "1" to take the lock again if Redis lost it and no other process has led since. (Only on a new
#: connection: after a standstill, Redis may carry out a call that its member has given up.) Returns 0 if this member
#: does not hold the lock.
RENEW = """
local holder = redis.call('GET', KEYS[1])
local newest = redis.pcall('GET', KEYS[2])
if holder ~= ARGV[1] and (holder or ARGV[6] ~= '1' or newest and newest ~= ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'PX', 86400000)
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[5], ARGV[4])
return 1
"""

#: Relay frames, and store the state, which counts them: a follower that joins learns the number of the newest frame.
#: KEYS: lock, state. ARGV: member, lease in ms, state, channel, messages. Returns 0 if this member does not hold the
#: lock.
RELAY = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
for i = 5, #ARGV do
  redis.call('PUBLISH', ARGV[4], ARGV[i])
end
return 1
"""

#: Release the lock, and publish that. KEYS: lock, state. ARGV: member, channel, message.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""

_STATE, _FREE = b"s", b"x"

#: The first byte of a message with a frame.
FRAME_MARK = b"f"

#: Maximum token or number of a frame. The scripts count in floats.
_MOST = 2**53


class Keys(NamedTuple):
    """The keys and channels of one line. The braces keep them on one node of a cluster."""

    lock: str
    token: str
    state: str
    down: str
    up: str
    events: str

    def confirmations(self, name: str) -> str:
        """Return the channel on which a leader confirms the frames of a follower."""
        return f"{self.up}:{name}"

    def question(self, text: str) -> Tuple[str, str, str]:
        """Return the keys for a question to the service: the newest number, the answer, and the process that asks."""
        base = self.lock[: -len("lock")]
        return f"{base}questions", f"{base}answer:{text}", f"{base}asks:{text}"

    @classmethod
    def of(cls, prefix: str, app_id: str, uid: str) -> Keys:
        """Return the keys for the line of an app's user."""
        base = f"{prefix}:{{{app_id}:{uid}}}"
        return cls(f"{base}:lock", f"{base}:token", f"{base}:state", f"{base}:down", f"{base}:up", f"{base}:events")


class State(NamedTuple):
    """The state that a leader publishes at each change and each renewal of its lock.

    :ivar number: of the newest relayed frame.
    """

    token: int
    number: int
    status: SharedStatus
    free: bool = False


class Frame(NamedTuple):
    """A frame that a leader relays."""

    token: int
    number: int
    data: bytes


def whole(text: Union[bytes, str]) -> int:
    """Read a token, or the number of a frame or an answer. Another program may have written any text.

    :raises ValueError: it is not a number that a process of the SDK writes.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))):
        raise ValueError("not a token or number")
    return _counted(int(text))


def _counted(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("not a token or number")
    return value


def encode_state(state: State) -> bytes:
    """Return the state in the form for Redis."""
    status, error = state.status, state.status.error
    fields: Dict[str, Any] = {
        "token": state.token,
        "number": state.number,
        "status": status.status,
        "leader": status.leader,
        "failures": status.failures,
    }
    if error is not None:
        fields["error"] = {"code": error.code, "message": error.message, "details": error.details}
    return (_FREE if state.free else _STATE) + json.dumps(fields).encode()


def encode_frame(frame: Frame) -> bytes:
    """Return the message in the form for Redis."""
    return b"%s%d:%d:%s" % (FRAME_MARK, frame.token, frame.number, frame.data)


class UpFrame(NamedTuple):
    """A frame that a follower wants to send, with the data for its confirmation.

    :ivar name: of the follower's seat.
    """

    name: str
    number: int
    text: str


def encode_up(frame: UpFrame) -> bytes:
    """Return the message in the form for Redis."""
    return f"{frame.name}:{frame.number}:{frame.text}".encode("utf-8", "replace")


def decode_up(message: bytes) -> Optional[UpFrame]:
    """Return the frame in a message; None for another message."""
    name, _, rest = message.decode("utf-8", "replace").partition(":")
    number, colon, text = rest.partition(":")
    try:
        return UpFrame(name, whole(number), text) if colon else None
    except ValueError:
        return None


def decode(message: bytes) -> Optional[Tuple[Optional[State], Optional[Frame]]]:
    """Return the state or the frame in a message, or None if this version does not know it."""
    kind, rest = message[:1], message[1:]
    try:
        if kind == FRAME_MARK:
            token, number, data = rest.split(b":", 2)
            return None, Frame(whole(token), whole(number), data)
        if kind in (_STATE, _FREE):
            return _state(json.loads(rest), kind == _FREE), None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return None


def _state(fields: Dict[str, Any], free: bool) -> State:
    error_fields = fields.get("error")
    error = None
    if isinstance(error_fields, dict):
        details = error_fields.get("details")
        error = ConnectionException(
            str(error_fields["code"]), str(error_fields["message"]), details=None if details is None else str(details)
        )
    leader = fields.get("leader")
    name = leader if isinstance(leader, str) else None
    status = SharedStatus(CometChatWSState(fields["status"]).value, _counted(fields["failures"]), error, name)
    return State(_counted(fields["token"]), _counted(fields["number"]), status, free)


def process_of(holder: str) -> str:
    """Return the ``host:pid`` in the value of a lock."""
    return holder.rpartition(":")[0] or holder
