"""The state machine of the connection: walks the tables of :mod:`._states`, and returns the actions of each step.

It only decides. The shell (``_runtime.connection``) calls :meth:`ConnectionMachine.handle` under its lock, queues the
notifications, and carries out the other actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from ..exceptions import CometChatException
from ._states import CALLBACKS, STATUS, TRANSITIONS, UP, WITH_ERROR, CometChatWSState, Phase, Signal

#: Minimum life of a connection, in seconds, after which the count of attempts starts again.
STABLE_AFTER = 10.0


class IllegalSignal(Exception):
    """The table has no row for this phase and signal: a bug of this SDK. The machine does not change."""


@dataclass(frozen=True)
class Notify:
    """A call to make to the listeners: a ``method`` of ConnectionListener, and its error if it takes one."""

    method: str
    error: Optional[CometChatException] = None


@dataclass(frozen=True)
class Step:
    """The result of one signal.

    :ivar notifications: the listeners' calls, in order.
    :ivar restart_count: whether the count of attempts starts again, because the connection lived long enough.
    :ivar lived: seconds for which the lost connection had been up; 0 for any other signal.
    """

    old: Phase
    new: Phase
    notifications: Tuple[Notify, ...]
    restart_count: bool = False
    lived: float = 0.0


class ConnectionMachine:
    """One client's connection. Not thread-safe: its owner holds a lock.

    :ivar phase: the current phase.
    :ivar renewed: whether the jwt was renewed since the last accepted authentication. Then a second refusal is final.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.renewed = False
        self._online_since: Optional[float] = None

    @property
    def status(self) -> CometChatWSState:
        """The public status of the phase."""
        return STATUS[self.phase]

    @property
    def refusal(self) -> Signal:
        """The signal for a refused jwt: STALE the first time, REFUSED for a jwt that was just renewed."""
        return Signal.REFUSED if self.renewed else Signal.STALE

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
