"""The state machine: its tables, and the class that walks them. 9 phases inside, 4 statuses outside.

Only this module says which steps a connection may take. :class:`ConnectionMachine` walks the tables, the docs' diagram
is drawn from them, and the tests enumerate them. Every phase with every signal is either a row here or an error that
changes nothing.

The machine decides, and does nothing. ``_runtime.connection`` calls :meth:`ConnectionMachine.handle` under its lock,
queues the callbacks, and does the rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, FrozenSet, Optional, Tuple

from ..exceptions import CometChatException


class CometChatWSState(str, enum.Enum):
    """The status of the connection, as the vendor names it. Each member equals its string."""

    #: The server has accepted the authentication.
    CONNECTED = "connected"
    #: The client makes an attempt, or waits for the next one.
    CONNECTING = "connecting"
    #: The client has no connection and makes no attempt.
    DISCONNECTED = "disconnected"
    #: Connected, but the service limits transient features (typing, receipts, presence) or has switched them off.
    FEATURE_THROTTLED = "featureThrottled"

    def __str__(self) -> str:
        return str(self.value)

    # Without it, format() of a str enum says "CometChatWSState.CONNECTED" on some Pythons and "connected" on others.
    def __format__(self, spec: str) -> str:
        return format(str(self.value), spec)


class Phase(enum.Enum):
    """The internal phase of a connection."""

    if not TYPE_CHECKING:  # for a type checker, an override without a type is ambiguous
        # Each member exists once. Enum would hash its name, in Python.
        __hash__ = object.__hash__

    IDLE = "idle"  # not wanted, or abandoned
    OPENING = "opening"  # TCP, TLS, upgrade; before them the jwt, if it is missing
    AUTHENTICATING = "authenticating"  # `auth` was sent, and not yet answered
    RENEWING = "renewing"  # the jwt was refused: PUT /me for a new one
    ONLINE = "online"
    THROTTLED = "throttled"
    LOST = "lost"  # just lost, still wanted: makes a loss show as `disconnected`, then `connecting`
    BACKOFF = "backoff"  # waits for the next attempt
    CLOSED = "closed"  # final


class Signal(enum.Enum):
    """The signals: inputs of the state machine."""

    if not TYPE_CHECKING:  # as above
        __hash__ = object.__hash__

    CONNECT = "connect"  # the user, or auto mode, wants it
    OPENED = "opened"  # the upgrade succeeded
    ACCEPTED = "accepted"  # the server accepted `auth`
    STALE = "stale"  # the server refused the jwt, and may accept a new one
    RENEWED = "renewed"  # a new jwt has arrived
    FAILED = "failed"  # the attempt failed; the next may succeed
    REFUSED = "refused"  # a credential was refused: another attempt fails too
    THROTTLED = "throttled"  # MODE became other than DEFAULT
    RESTORED = "restored"  # MODE became DEFAULT again
    LOST = "lost"  # a connection that was up broke
    RETRY = "retry"  # tenacity decides to retry after a wait
    RETRY_DUE = "retry_due"  # the wait is over
    GAVE_UP = "gave_up"  # tenacity decides to stop
    LOGGED_OUT = "logged_out"  # the service ended the login: no attempt may follow
    DISCONNECT = "disconnect"  # the user wants no connection
    CLOSE = "close"  # the client is closed


_ROWS: Dict[Phase, Dict[Signal, Phase]] = {
    Phase.IDLE: {Signal.CONNECT: Phase.OPENING},
    Phase.OPENING: {
        Signal.OPENED: Phase.AUTHENTICATING,
        Signal.FAILED: Phase.BACKOFF,
        Signal.REFUSED: Phase.IDLE,
    },
    Phase.AUTHENTICATING: {
        Signal.ACCEPTED: Phase.ONLINE,
        Signal.FAILED: Phase.BACKOFF,
        Signal.STALE: Phase.RENEWING,
        Signal.REFUSED: Phase.IDLE,
    },
    Phase.RENEWING: {
        Signal.RENEWED: Phase.OPENING,
        Signal.FAILED: Phase.BACKOFF,
        Signal.REFUSED: Phase.IDLE,
    },
    Phase.ONLINE: {Signal.THROTTLED: Phase.THROTTLED, Signal.LOST: Phase.LOST},
    Phase.THROTTLED: {Signal.RESTORED: Phase.ONLINE, Signal.LOST: Phase.LOST},
    Phase.LOST: {Signal.RETRY: Phase.BACKOFF, Signal.GAVE_UP: Phase.IDLE, Signal.CONNECT: Phase.OPENING},
    Phase.BACKOFF: {Signal.RETRY_DUE: Phase.OPENING, Signal.CONNECT: Phase.OPENING, Signal.GAVE_UP: Phase.IDLE},
    Phase.CLOSED: {},
}


def _complete(rows: Dict[Phase, Dict[Signal, Phase]]) -> Dict[Tuple[Phase, Signal], Phase]:
    table = {(phase, signal): new for phase, row in rows.items() for signal, new in row.items()}
    for phase in Phase:
        if phase not in (Phase.IDLE, Phase.CLOSED):
            table[phase, Signal.LOGGED_OUT] = Phase.IDLE
        if phase is not Phase.CLOSED:
            table[phase, Signal.DISCONNECT] = Phase.IDLE
            table[phase, Signal.CLOSE] = Phase.CLOSED
            table.setdefault((phase, Signal.CONNECT), phase)  # already wanted: no change
    return table


#: (phase, signal) -> the next phase. Any other pair is a bug of this SDK.
TRANSITIONS: Dict[Tuple[Phase, Signal], Phase] = _complete(_ROWS)

#: Phase -> public status.
STATUS: Dict[Phase, CometChatWSState] = {
    Phase.IDLE: CometChatWSState.DISCONNECTED,
    Phase.OPENING: CometChatWSState.CONNECTING,
    Phase.AUTHENTICATING: CometChatWSState.CONNECTING,
    Phase.RENEWING: CometChatWSState.CONNECTING,
    Phase.ONLINE: CometChatWSState.CONNECTED,
    Phase.THROTTLED: CometChatWSState.FEATURE_THROTTLED,
    Phase.LOST: CometChatWSState.DISCONNECTED,
    Phase.BACKOFF: CometChatWSState.CONNECTING,
    Phase.CLOSED: CometChatWSState.DISCONNECTED,
}

#: (old status, new status) -> the method of ConnectionListener. No other event may call these methods (promise 1).
CALLBACKS: Dict[Tuple[CometChatWSState, CometChatWSState], str] = {
    (CometChatWSState.DISCONNECTED, CometChatWSState.CONNECTING): "on_connecting",
    (CometChatWSState.CONNECTING, CometChatWSState.CONNECTED): "on_connected",
    (CometChatWSState.CONNECTING, CometChatWSState.DISCONNECTED): "on_disconnected",
    (CometChatWSState.CONNECTED, CometChatWSState.FEATURE_THROTTLED): "on_feature_throttled",
    (CometChatWSState.CONNECTED, CometChatWSState.DISCONNECTED): "on_disconnected",
    (CometChatWSState.FEATURE_THROTTLED, CometChatWSState.CONNECTED): "on_connected",
    (CometChatWSState.FEATURE_THROTTLED, CometChatWSState.DISCONNECTED): "on_disconnected",
}

#: The signals with an error, which on_connection_error reports.
WITH_ERROR: FrozenSet[Signal] = frozenset({Signal.FAILED, Signal.LOGGED_OUT, Signal.LOST, Signal.REFUSED})

#: The phases in which a socket may be used to send.
UP: FrozenSet[Phase] = frozenset({Phase.ONLINE, Phase.THROTTLED})

#: The statuses while a connection is up. Their strings are in it too (not in a set: an enum hashes its name).
UP_STATUSES = (CometChatWSState.CONNECTED, CometChatWSState.FEATURE_THROTTLED)


#: Minimum life of a connection, in seconds, after which the count of attempts starts again.
STABLE_AFTER = 10.0


class IllegalSignal(Exception):
    """The table has no row for this phase and signal: a bug of this SDK. The machine does not change."""


@dataclass(frozen=True)
class Step:
    """The result of one signal.

    :ivar error: for ``on_connection_error``, which the listeners get first; None without an error.
    :ivar transition: the callback for the change of the status, a method of ConnectionListener; None without a change.
    :ivar lived: seconds for which the lost connection had been up; 0 for any other signal.
    """

    old: Phase
    new: Phase
    error: Optional[CometChatException] = None
    transition: Optional[str] = None
    lived: float = 0.0

    @property
    def restart_count(self) -> bool:
        """Whether the count of attempts starts again, because the connection lived long enough."""
        return self.lived >= STABLE_AFTER


class ConnectionMachine:
    """One client's connection. Not thread-safe: its owner holds a lock.

    :ivar phase: the current phase.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self._online_since = 0.0

    @property
    def status(self) -> CometChatWSState:
        """The public status of the phase."""
        return STATUS[self.phase]

    def handle(self, signal: Signal, now: float, error: Optional[CometChatException] = None) -> Step:
        """Take one signal.

        :param now: monotonic seconds.
        :param error: required for the signals in WITH_ERROR; None for all others.
        :raises IllegalSignal: the table has no row for it, or the error is missing or unexpected.
        """
        old = self.phase
        new = TRANSITIONS.get((old, signal))
        if new is None:
            raise IllegalSignal(f"{signal.name} in phase {old.name}")
        if (error is not None) != (signal in WITH_ERROR):
            raise IllegalSignal(f"{signal.name} {'without an' if error is None else 'with an'} error")
        transition = None if STATUS[old] is STATUS[new] else CALLBACKS[STATUS[old], STATUS[new]]
        lived = now - self._online_since if signal is Signal.LOST else 0.0
        self.phase = new
        if signal is Signal.ACCEPTED:
            self._online_since = now
        return Step(old, new, error, transition, lived)
