"""Fails each test in which the SDK logs while a thread holds a client's lock.

A log handler has a lock of its own, and may call the SDK. A thread in such a call waits for the client's lock. If its
holder logs, it waits for the handler's lock, and neither thread continues.
"""

from __future__ import annotations

import logging
import traceback
import weakref
from typing import Any, Dict, List

from cometchat._runtime._registry import ListenerRegistry

#: Maximum number of clients that are checked. Tests with crowds would take longer.
_MOST = 50

_registries: Dict[int, "weakref.ref[ListenerRegistry]"] = {}
_found: List[str] = []


def install() -> None:
    """Check each call of a logger of the SDK from now on, whether or not its level is enabled."""
    make, is_enabled = ListenerRegistry.__init__, logging.Logger.isEnabledFor

    def __init__(self: ListenerRegistry) -> None:
        make(self)
        key = id(self)
        _registries[key] = weakref.ref(self, lambda _: _registries.pop(key, None))

    def is_enabled_for(self: logging.Logger, level: int) -> bool:
        few = len(_registries) <= _MOST
        if few and self.name.startswith("cometchat.") and any(_holds(each()) for each in list(_registries.values())):
            _found.append("".join(traceback.format_stack(limit=8)[:-1]))
        return is_enabled(self, level)

    ListenerRegistry.__init__ = __init__  # type: ignore[method-assign]
    logging.Logger.isEnabledFor = is_enabled_for  # type: ignore[method-assign]


def take() -> List[str]:
    """Return the stacks of the calls under a lock since the last call of this function."""
    found, _found[:] = _found.copy(), []
    return found


def _holds(registry: Any) -> bool:
    return registry is not None and bool(registry.lock._is_owned())
