"""The newest settings of each app, which the clients of a process share instead of each requesting them."""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from .. import _fork

#: Maximum number of remembered apps.
_MOST = 64


class _Known(NamedTuple):
    asked_at: float
    settings: Mapping[str, Any]


class SharedSettings(_fork.ForkSafeDefaults):
    """The settings, by app and API. Any thread."""

    def __init__(self) -> None:
        self._known: Dict[Tuple[str, str], _Known] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: replace the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    def put(self, app_id: str, base: str, asked_at: float, settings: Mapping[str, Any]) -> None:
        """Remember an answer.

        :param base: of the client API.
        :param asked_at: monotonic seconds at which the request began.
        """
        with self._lock:
            self._known.pop((app_id, base), None)
            self._known[app_id, base] = _Known(asked_at, settings)
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def get(self, app_id: str, base: str, since: float) -> Optional[Mapping[str, Any]]:
        """Return the newest settings if they were requested since a given time; else None."""
        with self._lock:
            known = self._known.get((app_id, base))
        return known.settings if known is not None and known.asked_at >= since else None


#: Of this process.
SETTINGS = SharedSettings()

_fork.register(_fork.Layer.PROCESS, SETTINGS)
