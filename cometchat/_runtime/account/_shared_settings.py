"""The newest settings of each app, which the clients of a process share instead of each requesting them."""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ... import _fork

#: Maximum number of remembered apps.
_MOST = 64

#: Seconds after which another client may request the settings, because the answer to the last request did not come.
_PATIENCE = 10.0

K = TypeVar("K")
V = TypeVar("V")

#: An app id and the base of the client API.
Key = Tuple[str, str]


class _Answer(NamedTuple):
    asked_at: float
    settings: Mapping[str, Any]


class SharedSettings(_fork.ForkSafe):
    """The settings, by app and API. Any thread."""

    def __init__(self) -> None:
        self._known: Dict[Key, _Answer] = {}
        self._claimed: Dict[Key, float] = {}
        self._paused: Dict[Key, float] = {}
        self._by_app: Dict[str, Mapping[str, Any]] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: replace the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()
        self._claimed.clear()

    def put(self, key: Key, asked_at: float, settings: Mapping[str, Any]) -> None:
        """Remember an answer, unless a later request was answered first.

        :param asked_at: monotonic seconds at which the request began.
        """
        with self._lock:
            known, new = self._known.get(key), _Answer(asked_at, settings)
            _put(self._known, key, new if known is None or known.asked_at <= asked_at else known)

    def claim(self, key: Key, now: float) -> bool:
        """Return True if the caller must request the settings; False while another client waits for the answer.

        :param now: monotonic seconds.
        """
        with self._lock:
            if now - self._claimed.get(key, -_PATIENCE) < _PATIENCE:
                return False
            self._claimed[key] = now
            return True

    def release(self, key: Key) -> None:
        """Note that a request has ended."""
        with self._lock:
            self._claimed.pop(key, None)

    def pause(self, key: Key, until: float) -> None:
        """Make no request before a time, because the service asked for a wait. A longer wait has precedence.

        :param until: monotonic seconds.
        """
        with self._lock:
            _put(self._paused, key, max(until, self._paused.get(key, until)))

    def paused_until(self, key: Key) -> float:
        """Return the monotonic seconds before which no client may request the settings; 0 without such a time."""
        with self._lock:
            return self._paused.get(key, 0.0)

    def intern(self, app_id: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the newest settings of an app if they are equal, so that a thousand clients keep one object."""
        with self._lock:
            newest = self._by_app.get(app_id, settings)
            kept = newest if newest == settings else settings
            _put(self._by_app, app_id, kept)
            return kept

    def get(self, key: Key, since: float) -> Optional[Mapping[str, Any]]:
        """Return the newest settings if they were requested since a given time; else None."""
        with self._lock:
            known = self._known.get(key)
        return known.settings if known is not None and known.asked_at >= since else None


def _put(values: Dict[K, V], key: K, value: V) -> None:
    """Put a value at the end of a dict. Remove the oldest value if there are too many."""
    values.pop(key, None)
    values[key] = value
    if len(values) > _MOST:
        del values[next(iter(values))]


#: Of this process.
SETTINGS = SharedSettings()

_fork.register(_fork.Layer.PROCESS, SETTINGS)
