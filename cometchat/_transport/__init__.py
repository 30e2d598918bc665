"""The two ways out: HTTP (``http``, over requests) and the WebSocket (``websocket``, over websocket-client).

The transports do I/O. They start no threads and make no decisions. Each file uses one library at most, and converts the
library's exceptions to this SDK's. The floors above import names from here, and :class:`.http.RequestsRest` and
:func:`.websocket.socket_factory` from their packages. A name loads its module at first use, so importing this package
loads neither socket nor a library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import load_name

if TYPE_CHECKING:
    from ._exception_chain import drop_frames, exception_chain, pass_on_interruption
    from ._form import Form
    from ._interfaces import Socket, SocketFactory
    from ._json_decoder import decoder, loads
    from .net import (
        Address,
        LookUp,
        NetworkChanges,
        SharedProbe,
        has_no_address,
        host_probe_for,
        is_address,
        is_unanswered,
        look_up,
    )
else:
    #: Loaded at first use, in this order: the last one loads socket and ssl.
    _HOMES = ("_exception_chain", "_interfaces", "_form", "_json_decoder", "net")

    def __getattr__(name: str) -> object:
        return load_name(globals(), _HOMES, name)


__all__ = [
    "Address",
    "Form",
    "LookUp",
    "NetworkChanges",
    "SharedProbe",
    "Socket",
    "SocketFactory",
    "decoder",
    "drop_frames",
    "exception_chain",
    "has_no_address",
    "host_probe_for",
    "is_address",
    "is_unanswered",
    "loads",
    "look_up",
    "pass_on_interruption",
]
