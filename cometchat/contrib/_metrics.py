"""One table of a client's metrics, for Prometheus and OpenTelemetry.

This module uses neither library. It asks a client only for its status and ``stats()``, and has no lock, so that a slow
or stuck reader of metrics can't block a connection.
"""

from __future__ import annotations

import enum
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from cometchat import CometChatException, CometChatWSState, Stats
from cometchat.exceptions import unusable

from ._arguments import AnyClient, check_client

#: Codes that start with the count 0, so that the first failure is an increase. Other codes appear when they happen.
FAILURES = (
    "ERR_AUTH_TIMEOUT",
    "ERR_BAD_RESPONSE",
    "ERR_CONNECT_TIMEOUT",
    "ERR_TOO_MANY_REQUESTS",
    "FAILED_TO_FETCH",
    "WS_AUTH_FAIL",
    "WS_CONNECTION_FAIL",
)
DROPS = ("ERR_PONG_TIMEOUT", "ERR_PROTOCOL", "WS_CONNECTION_FAIL")
CLOSES = ("1000", "1001", "1008", "1011", "1012", "1013")  # the codes of RFC 6455 and its registry that servers send

#: Maximum number of codes of one metric. A server may invent codes; further ones count as OTHER.
MAX_CODES = 50
MAX_CODE_LENGTH = 64
OTHER = "other"

#: The numbers of CometChat before ``init``.
NOTHING = Stats(
    attempts=0,
    connects=0,
    failures={},
    drops={},
    close_codes={},
    frames_received=0,
    bytes_received=0,
    frames_ignored=0,
    messages_fetched=0,
    events_queued=0,
    events_dropped=0,
    pings=0,
    ping_round_trip=None,
    ping_round_trip_mean=None,
    last_errors=(),
    dead_letters=0,
    rate_limit_remaining=None,
)


class Kind(enum.Enum):
    """The behaviour of a number."""

    COUNTER = "counter"  # only grows, from 0
    LEVEL = "level"  # goes up and down; the sum over several clients is meaningful
    VALUE = "value"  # goes up and down; a sum has no meaning


class Reading(NamedTuple):
    """The numbers of a client at one moment."""

    status: CometChatWSState
    stats: Stats


class Metric(NamedTuple):
    """One number, or one for each value of its label.

    :ivar name: with dots, without a unit and without ``_total``. Each library adds its usual suffixes.
    :ivar unit: of UCUM; the counted thing in braces.
    :ivar read: value of the label (``""`` where there is no label) -> number. Empty: no value yet.
    """

    name: str
    kind: Kind
    unit: str
    text: str
    read: Callable[[Reading], Mapping[str, float]]
    label: Optional[str] = None


class Clients:
    """Clients by the names of their series. Each change is one operation on a dict, so that threads need no lock."""

    def __init__(self) -> None:
        self._named: Dict[str, AnyClient] = {}

    def add(self, name: str, client: AnyClient) -> None:
        """Add a client. No-op if the client already has this name.

        :raises CometChatException: ``INVALID_CLIENT``; ``INVALID_NAME``: not a non-empty string, or in use.
        """
        check_client(client)
        if not isinstance(name, str) or not name:
            raise unusable("name", "a string for the label 'client', such as \"default\"")
        if self._named.setdefault(name, client) is not client:
            raise unusable("name", f"a name of its own for each client (another client is called {name!r})")

    def remove(self, name: str, client: Optional[AnyClient] = None) -> None:
        """Remove a client. No-op if the name is unknown.

        :param client: removes only this client; None removes any client of this name.
        """
        if client is None or self._named.get(name) is client:
            self._named.pop(name, None)

    def read(self) -> List[Tuple[str, Reading]]:
        """Read each client once."""
        return [(name, look(client)) for name, client in list(self._named.items())]

    def __bool__(self) -> bool:
        return bool(self._named)


def look(client: AnyClient) -> Reading:
    """Read a client; before ``CometChat.init`` it is ``disconnected``, and all numbers are 0."""
    status = client.get_connection_status()
    try:
        return Reading(status, client.stats())
    except CometChatException as error:
        if error.code != "COMETCHAT_INITIALIZATION_NOT_DONE":
            raise
        return Reading(status, NOTHING)


def _one(value: Callable[[Stats], Optional[float]]) -> Callable[[Reading], Mapping[str, float]]:
    def read(reading: Reading) -> Mapping[str, float]:
        number = value(reading.stats)
        return {} if number is None else {"": number}

    return read


def _by_code(
    counted: Callable[[Stats], Mapping[str, int]], known: Iterable[str]
) -> Callable[[Reading], Mapping[str, float]]:
    def read(reading: Reading) -> Mapping[str, float]:
        return bounded(counted(reading.stats), known)

    return read


def bounded(counted: Mapping[str, int], known: Iterable[str] = ()) -> Dict[str, float]:
    """Return the counts by code, up to a maximum. Counts never decrease, because codes keep their order."""
    counts: Dict[str, float] = dict.fromkeys(known, 0)
    for code, count in counted.items():
        label = code[:MAX_CODE_LENGTH]
        if label not in counts and len(counts) >= MAX_CODES:
            label = OTHER
        counts[label] = counts.get(label, 0) + count
    return counts


def _status(reading: Reading) -> Mapping[str, float]:
    return {status.value: float(status == reading.status) for status in CometChatWSState}


def _close_codes(stats: Stats) -> Mapping[str, int]:
    return {str(code): count for code, count in stats.close_codes.items()}


def _ping_time(stats: Stats) -> float:
    return (stats.ping_round_trip_mean or 0.0) * stats.pings


def _last_error(stats: Stats) -> Optional[float]:
    return stats.last_errors[-1].at if stats.last_errors else None


COUNTER, LEVEL, VALUE = Kind.COUNTER, Kind.LEVEL, Kind.VALUE

METRICS: Tuple[Metric, ...] = (
    Metric(
        "cometchat.connection.status", LEVEL, "", "1 for the current status, 0 for the others.", _status, "status"
    ),
    Metric("cometchat.connect.attempts", COUNTER, "{attempt}", "Attempts to connect.", _one(lambda s: s.attempts)),
    Metric("cometchat.connects", COUNTER, "{connection}", "Connections made.", _one(lambda s: s.connects)),
    Metric(
        "cometchat.connect.failures",
        COUNTER,
        "{attempt}",
        "Attempts to connect that failed, by the error's code.",
        _by_code(lambda s: s.failures, FAILURES),
        "code",
    ),
    Metric(
        "cometchat.drops",
        COUNTER,
        "{connection}",
        "Connections that were lost, by the error's code.",
        _by_code(lambda s: s.drops, DROPS),
        "code",
    ),
    Metric(
        "cometchat.close_codes",
        COUNTER,
        "{connection}",
        "Connections that the server ended with a close frame, by its code.",
        _by_code(_close_codes, CLOSES),
        "code",
    ),
    Metric("cometchat.received.frames", COUNTER, "{frame}", "Frames received.", _one(lambda s: s.frames_received)),
    Metric(
        "cometchat.received.bytes", COUNTER, "By", "Bytes of the frames received.", _one(lambda s: s.bytes_received)
    ),
    Metric(
        "cometchat.ignored.frames",
        COUNTER,
        "{frame}",
        "Frames received that this SDK does not use.",
        _one(lambda s: s.frames_ignored),
    ),
    Metric(
        "cometchat.messages.fetched",
        COUNTER,
        "{message}",
        "Missed messages that were fetched later.",
        _one(lambda s: s.messages_fetched),
    ),
    Metric(
        "cometchat.messages.truncated",
        COUNTER,
        "{message}",
        "Messages nested too deeply to be read whole.",
        _one(lambda s: s.messages_truncated),
    ),
    Metric(
        "cometchat.events.queued", LEVEL, "{event}", "Calls that wait for listeners.", _one(lambda s: s.events_queued)
    ),
    Metric(
        "cometchat.events.dropped",
        COUNTER,
        "{event}",
        "Events dropped because listeners were slow.",
        _one(lambda s: s.events_dropped),
    ),
    Metric(
        "cometchat.dead_letters",
        COUNTER,
        "{item}",
        "Items of the outbox that the service refused for good.",
        _one(lambda s: s.dead_letters),
    ),
    Metric("cometchat.pings", COUNTER, "{ping}", "Pings that were answered.", _one(lambda s: s.pings)),
    Metric("cometchat.ping.time", COUNTER, "s", "Round trips of all pings, added up.", _one(_ping_time)),
    Metric(
        "cometchat.ping.round_trip", VALUE, "s", "Round trip of the newest ping.", _one(lambda s: s.ping_round_trip)
    ),
    Metric(
        "cometchat.ping.round_trip_mean",
        VALUE,
        "s",
        "Mean round trip of all pings.",
        _one(lambda s: s.ping_round_trip_mean),
    ),
    Metric(
        "cometchat.rate_limit.remaining",
        VALUE,
        "{request}",
        "Requests that the service still accepts in this minute, by its newest answer.",
        _one(lambda s: s.rate_limit_remaining),
    ),
    Metric(
        "cometchat.connection.leads",
        LEVEL,
        "",
        "1 in the process that holds the shared connection, else 0.",
        _one(lambda s: None if s.leads is None else float(s.leads)),
    ),
    Metric("cometchat.last_error.timestamp", VALUE, "s", "Unix time of the newest error.", _one(_last_error)),
)
