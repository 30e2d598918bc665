"""Redis's data about the processes that share connections, for operators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

import redis

from ._connections import if_stream_exists, run
from ._scripts import LOST, SUBSCRIBERS
from ._wire import Keys, decode, process_of

T = TypeVar("T")

#: Number of keys to ask for. No node of a Cluster has all of them.
_SPREAD = 16


@dataclass(frozen=True)
class Group:
    """A group of workers of one stream.

    :ivar lag: events that no worker has taken; None if Redis does not know (before 7.0).
    :ivar pending: events that workers have taken but not finished.
    :ivar workers: consumers, including ended ones until they are removed.
    :ivar lost: events lost in Redis; None if unknown now.
    """

    name: str
    lag: Optional[int]
    pending: int
    workers: int
    lost: Optional[int]


@dataclass(frozen=True)
class Line:
    """The processes of one app's user.

    :ivar leader: ``host:pid`` of the process that holds the connection; None without a leader.
    :ivar status: status of its connection; None if unknown.
    :ivar followers: number of followers.
    :ivar events: number of events in the stream; None without a stream.
    :ivar dead_letters: number of the stream's dead letters.
    """

    app_id: str
    uid: str
    leader: Optional[str]
    status: Optional[str]
    followers: int
    events: Optional[int]
    dead_letters: int
    groups: Tuple[Group, ...]


def read_lines(client: Any, prefix: str) -> List[Line]:
    """Read all lines.

    :raises redis.RedisError: Redis can't be used.
    """
    for number in range(_SPREAD):
        # SCAN on one node of a Cluster finds only the lines there, without an error. GET has the error for other keys.
        client.get(Keys.of(prefix, str(number), "").lock)
    names = set()
    quoted = re.sub(r"([*?\[\]\\])", r"\\\1", prefix)
    for key in client.scan_iter(match=f"{quoted}:{{*}}:*", count=1000):
        found = _owner_of(key.decode("utf-8", "replace"), prefix)
        if found is not None:
            names.add(found)
    return [_read_line(client, prefix, app_id, uid) for app_id, uid in sorted(names)]


def _owner_of(key: str, prefix: str) -> Optional[Tuple[str, str]]:
    """Return the app and the user in the key of a token or a stream; None for another key, which may be long."""
    for end in ("}:token", "}:events"):
        if key.endswith(end):
            app_id, _, uid = key[len(f"{prefix}:{{") : -len(end)].partition(":")
            return (app_id, uid) if app_id and uid else None
    return None


def _value(question: Callable[[], T]) -> Optional[T]:
    """Return the answer to a question about a key; None if another program has put a value of another type there.

    One such key must not hide all lines.
    """
    try:
        return if_stream_exists(question)
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        return None


def _read_line(client: Any, prefix: str, app_id: str, uid: str) -> Line:
    keys = Keys.of(prefix, app_id, uid)
    holder: Any = _value(lambda: client.get(keys.lock))
    kept: Any = _value(lambda: client.get(keys.state))
    decoded = decode(kept) if isinstance(kept, bytes) else None
    state = decoded[0] if decoded is not None else None
    seats = run(client, SUBSCRIBERS, (keys.down,))
    events, groups = _read_stream(client, keys.events)
    return Line(
        app_id,
        uid,
        process_of(holder.decode("utf-8", "replace")) if holder is not None else None,
        state.status.status if state is not None and holder is not None else None,
        max(0, seats - (holder is not None)),
        events,
        int(_value(lambda: client.xlen(f"{keys.events}:dead")) or 0),
        groups,
    )


def _read_stream(client: Any, key: str) -> Tuple[Optional[int], Tuple[Group, ...]]:
    groups: Optional[List[Dict[str, Any]]] = _value(lambda: client.xinfo_groups(key))
    if groups is None:
        return None, ()
    found = []
    for each in groups:
        name = each["name"].decode("utf-8", "replace")
        lost = _value(lambda: run(client, LOST, (key, f"{key}:record"), each["name"]))
        lag = each.get("lag")
        found.append(Group(name, lag, each["pending"], each["consumers"], None if lost is None or lost < 0 else lost))
    return int(client.xlen(key)), tuple(found)
