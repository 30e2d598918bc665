"""The two ways out: HTTP (``http``, over requests) and the WebSocket (``websocket``, over websocket-client).

The transports do I/O. They start no threads and make no decisions. Each file uses one library at most, and converts the
library's exceptions to this SDK's. The floors above import names from the packages and modules below. Only ``net``,
``http`` and ``websocket`` load socket or a library.
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # the packages and modules below have their own exports
