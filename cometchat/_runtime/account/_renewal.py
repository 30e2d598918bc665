"""Lets the threads that renew a login at the same time share one renewal."""

from __future__ import annotations

import threading
from typing import Callable, Optional

from ...exceptions import CometChatException, copy_of
from .._threads import Wakeup

#: Maximum time that a thread waits for the renewal of another thread, in seconds. Its ``refresh`` may hang.
_PATIENCE = 30.0


class _Renewal:
    """A renewal in progress.

    :param login: what identifies the login.
    :ivar error: why it failed.
    """

    def __init__(self, login: str) -> None:
        self.login = login
        self.thread = threading.get_ident()
        self.ended: Wakeup = Wakeup()
        self.error: Optional[CometChatException] = None


class SharedRenewal:
    """Makes one renewal of a login at a time. Any thread.

    If the service refuses an auth token, it refuses it to every thread of the client: those of the user, of the
    connection, of the outbox and of the catch-up. Otherwise each of them would ask ``refresh`` for a token.

    :param lock: the client's lock.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._newest: Optional[_Renewal] = None

    def run(self, login: str, renew: Callable[[], None], is_needed: Callable[[], bool]) -> None:
        """Renew, or wait for another thread's renewal of the same login and share its result.

        A thread does not wait for its own renewal: ``refresh`` may call the SDK.

        :param login: what identifies the login.
        :param is_needed: returns whether the renewal of another thread, which succeeded, was of no use.
        :raises CometChatException: what ``renew`` raises, on either thread.
        """
        own = _Renewal(login)
        try:
            if self._must_renew(own, is_needed):
                renew()
        except CometChatException as error:
            own.error = copy_of(error)
            raise
        finally:
            try:
                self._end(own)
            finally:  # once more, since a KeyboardInterrupt may have come first
                self._end(own)

    def _must_renew(self, own: _Renewal, is_needed: Callable[[], bool]) -> bool:
        """Return True if it is this thread's turn to renew; False if another thread's renewal was enough."""
        while True:
            with self._lock:
                other = self._newest
                if other is None or other.login != own.login or other.thread == own.thread:
                    self._newest = own
                    return True
            if not other.ended.wait(_PATIENCE):
                self._forget(other)
            elif other.error is not None:
                raise copy_of(other.error)
            elif not is_needed():
                return False

    def _end(self, renewal: _Renewal) -> None:
        self._forget(renewal)
        renewal.ended.set()

    def _forget(self, renewal: _Renewal) -> None:
        with self._lock:
            if self._newest is renewal:
                self._newest = None
