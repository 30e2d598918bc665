"""Redis's data about the processes that share connections, for operators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ._scripts import LOST
from ._wire import Keys, decode, if_stream_exists, process_of, run


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
    names = set()
    pattern = re.compile(re.escape(prefix) + r":\{(.+?):(.+)\}:(?:token|events)\Z", re.DOTALL)
    quoted = re.sub(r"([*?\[\]\\])", r"\\\1", prefix)
    for key in client.scan_iter(match=f"{quoted}:{{*}}:*", count=1000):
        found = pattern.match(key.decode("utf-8", "replace"))
        if found is not None:
            names.add((found[1], found[2]))
    return [_read_line(client, prefix, app_id, uid) for app_id, uid in sorted(names)]


def _read_line(client: Any, prefix: str, app_id: str, uid: str) -> Line:
    keys = Keys.of(prefix, app_id, uid)
    holder, kept = client.get(keys.lock), client.get(keys.state)
    decoded = decode(kept) if isinstance(kept, bytes) else None
    state = decoded[0] if decoded is not None else None
    listening = dict(client.pubsub_numsub(keys.down))
    seats = sum(int(count) for count in listening.values())
    events, groups = _read_stream(client, keys.events)
    return Line(
        app_id,
        uid,
        process_of(holder.decode("utf-8", "replace")) if holder is not None else None,
        state.status.status if state is not None and holder is not None else None,
        max(0, seats - (holder is not None)),
        events,
        int(client.xlen(f"{keys.events}:dead")),
        groups,
    )


def _read_stream(client: Any, key: str) -> Tuple[Optional[int], Tuple[Group, ...]]:
    groups: Optional[List[Dict[str, Any]]] = if_stream_exists(lambda: client.xinfo_groups(key))
    if groups is None:
        return None, ()
    found = []
    for each in groups:
        name = each["name"].decode("utf-8", "replace")
        lost = run(client, LOST, (key, f"{key}:record"), each["name"])
        lag = each.get("lag")
        found.append(Group(name, lag, each["pending"], each["consumers"], None if lost < 0 else lost))
    return int(client.xlen(key)), tuple(found)
