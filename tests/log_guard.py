"""Fails each test in which the SDK logs while a thread holds a lock for which calls of the SDK wait.

A log handler has a lock of its own, and may call the SDK. A thread in such a call waits for the SDK's lock. If its
holder logs, it waits for the handler's lock, and neither thread continues.
"""

from __future__ import annotations

import logging
import traceback
import weakref
from typing import Any, Dict, List

from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime.sharing import Membership, SharedConnection

#: Maximum number of objects that are checked. Tests with crowds would take longer.
_MOST = 50

#: The classes with such a lock, and its name.
_LOCKS: Dict[type, str] = {ListenerRegistry: "lock", SharedConnection: "_lock", Membership: "lock"}

_owners: Dict[int, "weakref.ref[Any]"] = {}
_found: List[str] = []


def install() -> None:
    """Check each call of a logger of the SDK from now on, whether or not its level is enabled."""
    for kind in _LOCKS:
        _note_each(kind)
    is_enabled = logging.Logger.isEnabledFor

    def is_enabled_for(self: logging.Logger, level: int) -> bool:
        few = len(_owners) <= _MOST
        if few and self.name.startswith("cometchat.") and any(_holds(each()) for each in list(_owners.values())):
            _found.append("".join(traceback.format_stack(limit=8)[:-1]))
        return is_enabled(self, level)

    logging.Logger.isEnabledFor = is_enabled_for  # type: ignore[method-assign]


def _note_each(kind: Any) -> None:
    make = kind.__init__

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        key = id(self)
        _owners[key] = weakref.ref(self, lambda _: _owners.pop(key, None))

    kind.__init__ = __init__


def take() -> List[str]:
    """Return the stacks of the calls under a lock since the last call of this function."""
    found, _found[:] = _found.copy(), []
    return found


def _holds(owner: Any) -> bool:
    return owner is not None and bool(getattr(owner, _LOCKS[type(owner)])._is_owned())
