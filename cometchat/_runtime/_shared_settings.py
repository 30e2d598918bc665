"""The newest settings of each app: what one client of the process has asked for, the others need not ask for."""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from .. import _fork

#: Maximum number of apps that are remembered.
_MOST = 64


class _Known(NamedTuple):
    asked_at: float
    settings: Mapping[str, Any]


class SharedSettings(_fork.ForkSafeDefaults):
    """The settings by app and API. Any thread."""

    def __init__(self) -> None:
        self._known: Dict[Tuple[str, str], _Known] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: the lock may be held by a thread that is not here."""
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
        """Return the newest settings if a client has asked for them since a moment; else None."""
        with self._lock:
            known = self._known.get((app_id, base))
        return known.settings if known is not None and known.asked_at >= since else None


#: Of this process.
SETTINGS = SharedSettings()

_fork.register(_fork.Layer.PROCESS, SETTINGS)
