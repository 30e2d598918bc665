"""The two ways out: HTTP (``http``, over requests) and the WebSocket (``websocket``, over websocket-client).

The transports do I/O. They start no threads and make no decisions. Each file uses one library at most, and converts the
library's exceptions to this SDK's. The floors above import names from here, and :class:`.http.RequestsRest` and
:func:`.websocket.socket_factory` from their packages. A name loads its module at first use, so importing this package
loads neither socket nor a library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Dict

if TYPE_CHECKING:
    from ._exception_chain import drop_frames, exception_chain
    from ._form import Form
    from ._interfaces import Rest, Socket, SocketFactory
    from ._json_decoder import decoder, loads
    from ._printable import printable
    from .net import (
        Address,
        LookUp,
        NetworkChanges,
        SharedProbe,
        has_no_address,
        host_probe_for,
        is_unanswered,
        look_up,
    )

_MODULES: Dict[str, str] = {
    "Address": "net",
    "Form": "_form",
    "SharedProbe": "net",
    "LookUp": "net",
    "NetworkChanges": "net",
    "Rest": "_interfaces",
    "Socket": "_interfaces",
    "SocketFactory": "_interfaces",
    "drop_frames": "_exception_chain",
    "exception_chain": "_exception_chain",
    "has_no_address": "net",
    "host_probe_for": "net",
    "is_unanswered": "net",
    "decoder": "_json_decoder",
    "loads": "_json_decoder",
    "look_up": "net",
    "printable": "_printable",
}

__all__ = [
    "Address",
    "Form",
    "LookUp",
    "NetworkChanges",
    "Rest",
    "SharedProbe",
    "Socket",
    "SocketFactory",
    "decoder",
    "drop_frames",
    "exception_chain",
    "has_no_address",
    "host_probe_for",
    "is_unanswered",
    "loads",
    "look_up",
    "printable",
]


def __getattr__(name: str) -> object:
    """Load the module of a name when the name is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    return value
