"""Calls the user's status store. An exception of the store ends neither a call of the user nor a thread."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator, Set

from ..._log import SafeLog
from ...exceptions import ERR_STATUS_STORE, CometChatException, exception_for
from ...status_store import Member, Seat, SharedStatus, StatusStore


def join(store: StatusStore, app_id: str, uid: str, member: Member, log: SafeLog) -> Seat:
    """Join the line of a user.

    :raises CometChatException: ``ERR_STATUS_STORE``: the store raised.
    """
    with exceptions_of("join"):
        return GuardedSeat(store.join(app_id, uid, member), log)


class GuardedSeat:
    """A seat whose methods raise CometChatException only. See :class:`cometchat.status_store.Seat`. Any thread.

    The first exception of each method is logged as an error.
    """

    def __init__(self, seat: Seat, log: SafeLog) -> None:
        self._seat = seat
        self._log = log
        self._reported: Set[str] = set()

    def publish(self, status: SharedStatus) -> None:
        """See :class:`Seat`."""
        self._call("publish", lambda: self._seat.publish(status))

    def relay(self, data: bytes) -> None:
        """See :class:`Seat`."""
        self._call("relay", lambda: self._seat.relay(data))

    def send_up(self, text: str) -> None:
        """See :class:`Seat`.

        :raises CometChatException: ``ERR_STATUS_STORE``: the store raised.
        """
        with exceptions_of("send_up"):
            self._seat.send_up(text)

    def leads_until(self) -> float:
        """See :class:`Seat`. Returns 0 if the store raises or returns no number: another process may lead."""
        try:
            until = float(self._seat.leads_until())
        except Exception:
            self._report("leads_until")
            return 0.0
        return until if until == until else 0.0  # not NaN

    def step_down(self) -> None:
        """See :class:`Seat`."""
        self._call("step_down", self._seat.step_down)

    def leave(self) -> None:
        """See :class:`Seat`."""
        self._call("leave", self._seat.leave)

    def wait_left(self, timeout: float) -> None:
        """See :class:`Seat`."""
        self._call("wait_left", lambda: self._seat.wait_left(timeout))

    def release_after_fork(self) -> None:
        """See :class:`Seat`."""
        self._call("release_after_fork", self._seat.release_after_fork)

    def _call(self, method: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            self._report(method)

    def _report(self, method: str) -> None:
        if method not in self._reported:
            self._reported.add(method)
            self._log.error("The status store's %s() raised. The client goes on without it.", method, exc_info=True)


@contextlib.contextmanager
def exceptions_of(method: str) -> Iterator[None]:
    """Convert an exception of the store's method.

    :raises CometChatException: ``ERR_STATUS_STORE``, with the exception as its cause.
    """
    try:
        yield
    except CometChatException:
        raise
    except Exception as error:
        raise exception_for(
            ERR_STATUS_STORE, f"The status store's {method}() raised {type(error).__name__}."
        ) from error
