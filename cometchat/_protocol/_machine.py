"""The connection's state: walks the tables of :mod:`._states`, and says what follows from each step.

It decides; it does nothing. The shell (``_runtime.connection``) calls :meth:`ConnectionMachine.handle` under its lock,
queues the notifications, and carries out the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from ..exceptions import CometChatException
from ._states import CALLBACKS, STATUS, TRANSITIONS, UP, WITH_ERROR, CometChatWSState, Phase, Signal

#: Seconds (monotonic) that a connection has to live for the count of attempts to start again.
STABLE_AFTER = 10.0


class IllegalSignal(Exception):
    """A signal that the phase has no row for: a mistake of this SDK. The machine is left as it was."""


@dataclass(frozen=True)
class Notify:
    """A call that the listeners are owed: ``method`` of ConnectionListener, with the error where it takes one."""

    method: str
    error: Optional[CometChatException] = None


@dataclass(frozen=True)
class Step:
    """What one signal did.

    :ivar notifications: the listeners' calls, in order.
    :ivar restart_count: the connection had lived long enough: the count of attempts starts again.
    :ivar lived: seconds for which the connection that was lost had been up; 0 with any other signal.
    """

    old: Phase
    new: Phase
    notifications: Tuple[Notify, ...]
    restart_count: bool = False
    lived: float = 0.0


class ConnectionMachine:
    """One client's connection. Not thread-safe: its owner holds a lock.

    :ivar phase: where it is.
    :ivar renewed: the jwt has been renewed since the last accepted authentication, so that a second refusal is final.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.renewed = False
        self._online_since: Optional[float] = None

    @property
    def status(self) -> CometChatWSState:
        """What the user sees of the phase."""
        return STATUS[self.phase]

    @property
    def refusal(self) -> Signal:
        """The signal for a refused jwt: STALE the first time, REFUSED for one that has just been renewed."""
        return Signal.REFUSED if self.renewed else Signal.STALE

    def handle(self, signal: Signal, now: float, error: Optional[CometChatException] = None) -> Step:
        """Take one signal.

        :param now: monotonic seconds.
        :param error: goes with the signals of WITH_ERROR, and with no other.
        :raises IllegalSignal: the phase has no row for it, or the error is missing or out of place.
        """
        old = self.phase
        new = TRANSITIONS.get((old, signal))
        if new is None:
            raise IllegalSignal(f"{signal.name} in phase {old.name}")
        if (error is not None) != (signal in WITH_ERROR):
            raise IllegalSignal(f"{signal.name} {'without an' if error is None else 'with an'} error")
        notifications: List[Notify] = []
        if error is not None:
            notifications.append(Notify("on_connection_error", error))
        if STATUS[old] is not STATUS[new]:
            notifications.append(Notify(CALLBACKS[STATUS[old], STATUS[new]]))
        lived = 0.0 if signal is not Signal.LOST or self._online_since is None else now - self._online_since
        self.phase = new
        self._remember(signal, new, now)
        return Step(old, new, tuple(notifications), lived >= STABLE_AFTER, lived)

    def _remember(self, signal: Signal, new: Phase, now: float) -> None:
        if signal is Signal.ACCEPTED:
            self._online_since = now
            self.renewed = False
        elif signal is Signal.RENEWED:
            self.renewed = True
        elif new is Phase.IDLE:
            self.renewed = False
        if new not in UP:
            self._online_since = None
