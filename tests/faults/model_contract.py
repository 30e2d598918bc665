"""A connection as api.md describes it, as facts and without phases: the model for the real connection.

Written only from the contract. It shares no table with ``cometchat._protocol``.
"""

from __future__ import annotations

from typing import List, Optional

#: The callback for each new status.
REPORTS = {
    "connecting": "on_connecting",
    "connected": "on_connected",
    "featureThrottled": "on_feature_throttled",
    "disconnected": "on_disconnected",
}

#: Minimum life of a connection, in seconds, after which the count of attempts starts again.
LONG_LIFE = 10.0


class Contract:
    """One client's connection.

    :ivar wanted: the user has asked for it, and nothing has ended it.
    :ivar step: the step of an attempt: ``"opening"``, ``"auth"``, ``"renewing"``. None without an attempt.
    :ivar waiting: the next attempt has a time.
    :ivar up: the authentication was accepted, and the connection is not known to be gone.
    """

    def __init__(self) -> None:
        self.closed = self.wanted = self.waiting = self.up = self.throttled = False
        self.step: Optional[str] = None
        self.up_since = 0.0

    @property
    def status(self) -> str:
        """Return the user's status."""
        if self.up:
            return "featureThrottled" if self.throttled else "connected"
        return "connecting" if self.step is not None or self.waiting else "disconnected"

    @property
    def lost(self) -> bool:
        """Return whether it was up a moment ago, and is still wanted."""
        return self.wanted and not self.up and not self.waiting and self.step is None

    def allows(self, signal: str) -> bool:
        """Return whether the signal can come now."""
        if self.closed:
            return False
        return bool(
            {
                "CONNECT": True,
                "DISCONNECT": True,
                "CLOSE": True,
                "OPENED": self.step == "opening",
                "ACCEPTED": self.step == "auth",
                "STALE": self.step == "auth",
                "RENEWED": self.step == "renewing",
                "FAILED": self.step is not None,
                "REFUSED": self.step is not None,
                "LOGGED_OUT": self.wanted,
                "THROTTLED": self.up and not self.throttled,
                "RESTORED": self.up and self.throttled,
                "LOST": self.up,
                "RETRY": self.lost,
                "RETRY_DUE": self.waiting,
                "GAVE_UP": self.lost or self.waiting,
            }[signal]
        )

    def take(self, signal: str, now: float = 0.0) -> List[str]:
        """Return the listeners' calls for an allowed signal."""
        before = self.status
        getattr(self, f"_{signal.lower()}")(now)
        reports = ["on_connection_error"] if signal in ("FAILED", "REFUSED", "LOST", "LOGGED_OUT") else []
        return reports + ([REPORTS[self.status]] if self.status != before else [])

    def restarts(self, signal: str, now: float) -> bool:
        """Return whether the count of attempts starts again: the lost connection had lived long enough."""
        return signal == "LOST" and now - self.up_since >= LONG_LIFE

    def _attempt(self) -> None:
        self.waiting, self.step = False, "opening"

    def _end(self) -> None:
        self.wanted = self.waiting = self.up = self.throttled = False
        self.step = None

    def _connect(self, now: float) -> None:
        # No-op for a client that is connected or connecting. During a wait, the next attempt starts at once.
        self.wanted = True
        if not self.up and self.step is None:
            self._attempt()

    def _opened(self, now: float) -> None:
        self.step = "auth"

    def _accepted(self, now: float) -> None:
        self.step, self.up, self.up_since = None, True, now

    def _stale(self, now: float) -> None:
        self.step = "renewing"

    def _renewed(self, now: float) -> None:
        self._attempt()

    def _failed(self, now: float) -> None:
        self.step, self.waiting = None, True

    def _refused(self, now: float) -> None:
        self._end()

    def _throttled(self, now: float) -> None:
        self.throttled = True

    def _restored(self, now: float) -> None:
        self.throttled = False

    def _lost(self, now: float) -> None:
        self.up = self.throttled = False

    def _retry(self, now: float) -> None:
        self.waiting = True

    def _retry_due(self, now: float) -> None:
        self._attempt()

    def _gave_up(self, now: float) -> None:
        self._end()

    def _logged_out(self, now: float) -> None:
        self._end()

    def _disconnect(self, now: float) -> None:
        self._end()

    def _close(self, now: float) -> None:
        self._end()
        self.closed = True
